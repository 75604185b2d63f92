#include "data/text/byte_source.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "data/text/compressed_source.h"

namespace dropforge::data {

PlainSource::PlainSource(const fs::path& path) : path_(path), descriptor_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    require(descriptor_ >= 0, "{}: cannot open: {}", path.string(), std::strerror(errno));
    posix_fadvise(descriptor_, 0, 0, POSIX_FADV_SEQUENTIAL);  // a hint: its failure changes nothing
}

PlainSource::~PlainSource() { close(descriptor_); }

size_t PlainSource::read(char* to, size_t size) {
    ssize_t count;
    do {
        count = ::read(descriptor_, to, size);
    } while (count < 0 && errno == EINTR);
    require(count >= 0, "{}: cannot read: {}", path_.string(), std::strerror(errno));
    position_ += static_cast<uint64_t>(count);
    return static_cast<size_t>(count);
}

bool CompressedSource::refill() {
    const size_t left = input_.size();  // a few bytes at most
    std::ranges::copy(input_, buffer_.begin());
    const size_t count = file_.read(buffer_.data() + left, buffer_.size() - left);
    position_ = file_.position();
    input_ = {buffer_.data(), left + count};
    return count > 0;
}

void CompressedSource::ignore_rest() {
    uint64_t ignored = 0;
    do {
        ignored += input_.size();
        input_.remove_prefix(input_.size());
    } while (refill());
    notes_.push_back(fmt::format("{}: {} bytes that follow the {} data are ignored", path_.string(), ignored, format_));
}

void CompressedSource::note_memory(uint64_t bytes) {
    constexpr uint64_t kUsual = uint64_t{1} << 27;
    if (bytes <= kUsual + (kUsual >> 4) || memory_noted_) return;
    memory_noted_ = true;
    notes_.push_back(fmt::format("{}: unpacking it takes {:.0f} MB of memory, as it was compressed with a large window",
                                 path_.string(), static_cast<double>(bytes) / 1e6));
}

std::unique_ptr<ByteSource> open_bytes(const fs::path& path, Codec codec) {
    switch (codec) {
        case Codec::gzip:
            return open_gzip(path);
        case Codec::bzip2:
            return open_bzip2(path);
        case Codec::xz:
            return open_xz(path);
        case Codec::zstd:
            return open_zstd(path);
        case Codec::none:
            break;
    }
    return std::make_unique<PlainSource>(path);
}

}  // namespace dropforge::data
