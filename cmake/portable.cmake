# DROPFORGE_PORTABLE is for programs that are carried to other machines (./dev package): of shared libraries they need glibc's alone, and they search
# no folder of the machine that built them. Sets FMT and TOML, the targets of those libraries.
option(DROPFORGE_PORTABLE "Programs for other machines: all libraries but glibc's are linked statically" OFF)
set(FMT fmt::fmt)
set(TOML tomlplusplus::tomlplusplus)
if(DROPFORGE_PORTABLE)
    set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
    set(ZLIB_USE_STATIC_LIBS ON)
    add_link_options(-static-libstdc++ -static-libgcc)
    # Debian has these two as shared libraries only, but their headers can do without.
    set(FMT fmt::fmt-header-only)
    find_path(TOML_HEADERS toml++/toml.h REQUIRED)
    add_library(toml_headers INTERFACE)
    target_include_directories(toml_headers SYSTEM INTERFACE ${TOML_HEADERS})
    set(TOML toml_headers)
endif()
