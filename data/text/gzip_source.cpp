// gzip and bzip2: members after each other, and then perhaps something else.
#include <bzlib.h>
#include <zlib.h>

#include "data/text/compressed_source.h"

namespace dropforge::data {

namespace {

class GzipSource : public CompressedSource {
  public:
    explicit GzipSource(const fs::path& path) : CompressedSource(path, "gzip") {
        constexpr int kWindowBits = 15, kGzipHeader = 16;
        if (inflateInit2(&stream_, kWindowBits + kGzipHeader) != Z_OK) throw_no_memory();
    }
    ~GzipSource() override { inflateEnd(&stream_); }
    GzipSource(const GzipSource&) = delete;
    GzipSource& operator=(const GzipSource&) = delete;

    size_t read(char* to, size_t size) override {
        stream_.next_out = reinterpret_cast<Bytef*>(to);
        stream_.avail_out = static_cast<uInt>(size);
        while (stream_.avail_out == size) {
            if (!inside_ && !next_member()) break;
            if (input_.empty() && !refill()) throw_truncated();
            stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input_.data()));
            stream_.avail_in = static_cast<uInt>(input_.size());
            const int status = inflate(&stream_, Z_NO_FLUSH);
            input_.remove_prefix(input_.size() - stream_.avail_in);
            if (status == Z_MEM_ERROR) throw_no_memory();
            if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
                throw_damaged(stream_.msg == nullptr ? "no reason given" : stream_.msg);
            inside_ = status != Z_STREAM_END;
        }
        return size - stream_.avail_out;
    }

  private:
    /// Goes to the next member, over zeros; false if there is none.
    bool next_member() {
        while (has_more_than(0) && input_.front() == '\0') input_.remove_prefix(1);
        if (!has_more_than(0)) return false;
        if (!has_more_than(1) || !input_.starts_with("\x1F\x8B")) {
            ignore_rest();
            return false;
        }
        inflateReset(&stream_);
        inside_ = true;
        return true;
    }

    z_stream stream_{};
    bool inside_ = true;  // in a member; an empty file is a truncated one
};

class Bzip2Source : public CompressedSource {
  public:
    explicit Bzip2Source(const fs::path& path) : CompressedSource(path, "bzip2") { start(); }
    ~Bzip2Source() override { BZ2_bzDecompressEnd(&stream_); }
    Bzip2Source(const Bzip2Source&) = delete;
    Bzip2Source& operator=(const Bzip2Source&) = delete;

    size_t read(char* to, size_t size) override {
        stream_.next_out = to;
        stream_.avail_out = static_cast<unsigned>(size);
        while (stream_.avail_out == size) {
            if (!inside_ && !next_member()) break;
            if (input_.empty() && !refill()) throw_truncated();
            stream_.next_in = const_cast<char*>(input_.data());
            stream_.avail_in = static_cast<unsigned>(input_.size());
            const int status = BZ2_bzDecompress(&stream_);
            input_.remove_prefix(input_.size() - stream_.avail_in);
            if (status == BZ_MEM_ERROR) throw_no_memory();
            if (status != BZ_OK && status != BZ_STREAM_END)
                throw_damaged(status == BZ_DATA_ERROR_MAGIC ? "no bzip2 header" : "its checksums are wrong");
            inside_ = status != BZ_STREAM_END;
        }
        return size - stream_.avail_out;
    }

  private:
    void start() {
        if (BZ2_bzDecompressInit(&stream_, 0, 0) != BZ_OK) throw_no_memory();
    }

    bool next_member() {
        if (!has_more_than(0)) return false;
        if (!has_more_than(2) || !input_.starts_with("BZh")) {
            ignore_rest();
            return false;
        }
        char* const out = stream_.next_out;
        const unsigned left = stream_.avail_out;
        BZ2_bzDecompressEnd(&stream_);
        stream_ = {};
        start();
        stream_.next_out = out;
        stream_.avail_out = left;
        inside_ = true;
        return true;
    }

    bz_stream stream_{};
    bool inside_ = true;
};

}  // namespace

std::unique_ptr<ByteSource> open_gzip(const fs::path& path) { return std::make_unique<GzipSource>(path); }
std::unique_ptr<ByteSource> open_bzip2(const fs::path& path) { return std::make_unique<Bzip2Source>(path); }

}  // namespace dropforge::data
