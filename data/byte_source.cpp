#include "data/byte_source.h"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "base/error.h"

namespace dropforge::data {

namespace {

class PlainSource : public ByteSource {
  public:
    explicit PlainSource(const fs::path& path) : path_(path), descriptor_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
        require(descriptor_ >= 0, "{}: cannot open: {}", path.string(), std::strerror(errno));
        posix_fadvise(descriptor_, 0, 0, POSIX_FADV_SEQUENTIAL);  // a hint: its failure changes nothing
    }
    ~PlainSource() override { close(descriptor_); }
    PlainSource(const PlainSource&) = delete;
    PlainSource& operator=(const PlainSource&) = delete;

    size_t read(char* to, size_t size) override {
        ssize_t count;
        do {
            count = ::read(descriptor_, to, size);
        } while (count < 0 && errno == EINTR);
        require(count >= 0, "{}: cannot read: {}", path_.string(), std::strerror(errno));
        position_ += static_cast<uint64_t>(count);
        return static_cast<size_t>(count);
    }

  private:
    fs::path path_;
    int descriptor_;
};

constexpr size_t kInput = size_t{1} << 17;

/// One or more gzip members after each other, as gzip -c a b makes them.
class GzipSource : public ByteSource {
  public:
    explicit GzipSource(const fs::path& path) : path_(path), file_(path), input_(kInput) {
        require(inflateInit2(&stream_, 15 + 16) == Z_OK, "{}: zlib does not start",
                path.string());  // 16: a gzip header is wanted
    }
    ~GzipSource() override { inflateEnd(&stream_); }
    GzipSource(const GzipSource&) = delete;
    GzipSource& operator=(const GzipSource&) = delete;

    size_t read(char* to, size_t size) override {
        stream_.next_out = reinterpret_cast<Bytef*>(to);
        stream_.avail_out = static_cast<uInt>(size);
        while (stream_.avail_out == size) {
            if (stream_.avail_in == 0 && !refill()) {
                require(!inside_, "{}: offset {}: the gzip data is truncated", path_.string(), position_);
                break;
            }
            if (!inside_) inflateReset(&stream_);
            inside_ = true;
            const int status = inflate(&stream_, Z_NO_FLUSH);
            require(status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR,
                    "{}: offset {}: the gzip data is damaged: {}", path_.string(), position_ - stream_.avail_in,
                    stream_.msg == nullptr ? "no reason given" : stream_.msg);
            if (status == Z_STREAM_END) inside_ = false;
        }
        return size - stream_.avail_out;
    }

  private:
    bool refill() {
        const size_t count = file_.read(input_.data(), input_.size());
        position_ = file_.position();
        stream_.next_in = reinterpret_cast<Bytef*>(input_.data());
        stream_.avail_in = static_cast<uInt>(count);
        return count > 0;
    }

    fs::path path_;
    PlainSource file_;
    std::vector<char> input_;
    z_stream stream_{};
    bool inside_ = true;  // in a member; an empty file is a truncated one
};

class ZstdSource : public ByteSource {
  public:
    explicit ZstdSource(const fs::path& path)
        : path_(path), file_(path), bytes_(kInput), stream_(ZSTD_createDStream()) {
        require(stream_ != nullptr, "{}: zstd does not start", path.string());
    }

    size_t read(char* to, size_t size) override {
        ZSTD_outBuffer output{to, size, 0};
        while (output.pos == 0) {
            if (input_.pos == input_.size && !flushing_) {
                input_ = {bytes_.data(), file_.read(bytes_.data(), bytes_.size()), 0};
                position_ = file_.position();
                if (input_.size == 0) {
                    require(!inside_, "{}: offset {}: the zstd data is truncated", path_.string(), position_);
                    break;
                }
            }
            const size_t left = ZSTD_decompressStream(stream_.get(), &output, &input_);
            require(ZSTD_isError(left) == 0, "{}: offset {}: the zstd data is damaged: {}", path_.string(),
                    position_ - (input_.size - input_.pos), ZSTD_getErrorName(left));
            inside_ = left != 0;
            flushing_ = inside_ && output.pos == output.size;  // there may be more that needs no input
        }
        return output.pos;
    }

  private:
    struct Free {
        void operator()(ZSTD_DStream* stream) const { ZSTD_freeDStream(stream); }
    };
    fs::path path_;
    PlainSource file_;
    std::vector<char> bytes_;
    std::unique_ptr<ZSTD_DStream, Free> stream_;
    ZSTD_inBuffer input_{nullptr, 0, 0};
    bool inside_ = true, flushing_ = false;
};

}  // namespace

std::unique_ptr<ByteSource> open_bytes(const fs::path& path, Codec codec) {
    switch (codec) {
        case Codec::gzip:
            return std::make_unique<GzipSource>(path);
        case Codec::zstd:
            return std::make_unique<ZstdSource>(path);
        case Codec::none:
            break;
    }
    return std::make_unique<PlainSource>(path);
}

}  // namespace dropforge::data
