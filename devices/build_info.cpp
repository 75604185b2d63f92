#include "devices/build_info.h"

#include <fmt/format.h>
#include <utf8proc.h>
#include <xxhash.h>
#include <zlib.h>
#include <zstd.h>

#include "kernels/cpu_level.h"

namespace dropforge {

namespace {

std::string compiler() {
#ifdef __clang__
    return fmt::format("clang++ {}.{}.{}", __clang_major__, __clang_minor__, __clang_patchlevel__);
#else
    return fmt::format("g++ {}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
}

std::string xxhash() {  // 801 is 0.8.1
    const unsigned number = XXH_versionNumber();
    return fmt::format("{}.{}.{}", number / 10000, number / 100 % 100, number % 100);
}

}  // namespace

std::string build_info(const std::string& program, const std::string& revision, const std::string& backends) {
    return fmt::format(
        "{} {}\n"
        "revision      {}\n"
        "compiler      {}, {}\n"
        "CPU kernels   {}\n"
        "libraries     utf8proc {}, xxHash {}, zlib {}, Zstandard {}\n"
        "backends      {}",
        program, DROPFORGE_VERSION, revision, compiler(), DROPFORGE_BUILD_TYPE, kernels::cpu_level_text(),
        utf8proc_version(), xxhash(), zlibVersion(), ZSTD_versionString(), backends);
}

}  // namespace dropforge
