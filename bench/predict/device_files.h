// The files of bench/predict/devices, which the build embeds into the program.
#pragma once

#include <span>
#include <string_view>

namespace dropforge {

struct DeviceFile {
    std::string_view name;  // without folder and extension
    std::string_view text;
};
std::span<const DeviceFile> device_files();

}  // namespace dropforge
