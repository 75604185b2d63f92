#include "apps/npy_file.h"

#include <fmt/format.h>

#include <bit>
#include <string>

namespace dropforge {

namespace {

constexpr size_t kHeaderBytes = 128;  // a multiple of 64, as the format asks, in which any two numbers fit

/// Magic, version, length of what follows, and a Python dictionary, padded with spaces up to a line end.
std::string header(int64_t rows, int64_t columns) {
    static_assert(std::endian::native == std::endian::little);  // '<f4'
    using namespace std::string_literals;
    constexpr size_t kBefore = 10;
    const std::string text =
        fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows, columns);
    return "\x93NUMPY\x01\x00"s + static_cast<char>(kHeaderBytes - kBefore) + '\0' +
           fmt::format("{:<{}}\n", text, kHeaderBytes - kBefore - 1);
}

}  // namespace

NpyFile::NpyFile(const fs::path& path, int64_t columns) : file_(path), columns_(columns) {
    file_.write(header(0, columns));
}

void NpyFile::write(std::span<const float> rows) {
    file_.write(rows.data(), rows.size_bytes());
    rows_ += static_cast<int64_t>(rows.size()) / columns_;
}

void NpyFile::commit() {
    const std::string text = header(rows_, columns_);
    file_.write_at(0, text.data(), text.size());
    file_.commit();
}

}  // namespace dropforge
