# Makes ${output}, a C++ source with the texts of bench/predict/devices: bench needs no other file. Configured again when one of them changes.
function(device_files output)
    file(GLOB files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/bench/predict/devices/*.toml)
    set(DEVICE_FILES "")
    foreach(file ${files})
        set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
        get_filename_component(name ${file} NAME_WLE)
        file(READ ${file} text)
        string(APPEND DEVICE_FILES "        {\"${name}\", R\"toml(${text})toml\"},\n")
    endforeach()
    file(CONFIGURE OUTPUT ${output} @ONLY CONTENT [[
#include "bench/predict/device_files.h"

namespace dropforge {

std::span<const DeviceFile> device_files() {
    static const DeviceFile files[] = {
@DEVICE_FILES@    };
    return files;
}

}  // namespace dropforge
]])
endfunction()
