// zstd and xz: what was compressed with a large window takes that much memory to unpack.
#include <lzma.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "data/text/compressed_source.h"

namespace dropforge::data {

namespace {

class ZstdSource : public CompressedSource {
  public:
    explicit ZstdSource(const fs::path& path) : CompressedSource(path, "zstd"), stream_(ZSTD_createDStream()) {
        constexpr int kLargestWindow = 31;  // 2 GiB, as zstd --long=31 makes them
        if (stream_ == nullptr) throw_no_memory();
        ZSTD_DCtx_setParameter(stream_.get(), ZSTD_d_windowLogMax, kLargestWindow);
    }

    size_t read(char* to, size_t size) override {
        ZSTD_outBuffer output{to, size, 0};
        while (output.pos == 0) {
            if (input_.empty() && !flushing_ && !refill()) {
                if (inside_) throw_truncated();
                break;
            }
            ZSTD_inBuffer input{input_.data(), input_.size(), 0};
            const size_t left = ZSTD_decompressStream(stream_.get(), &output, &input);
            input_.remove_prefix(input.pos);
            if (ZSTD_isError(left) != 0 && ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation) throw_no_memory();
            if (ZSTD_isError(left) != 0) throw_damaged(ZSTD_getErrorName(left));
            inside_ = left != 0;
            flushing_ = inside_ && output.pos == output.size;  // there may be more that needs no input
        }
        note_memory(ZSTD_sizeof_DStream(stream_.get()));
        return output.pos;
    }

  private:
    struct Free {
        void operator()(ZSTD_DStream* stream) const { ZSTD_freeDStream(stream); }
    };
    std::unique_ptr<ZSTD_DStream, Free> stream_;
    bool inside_ = true, flushing_ = false;
};

class XzSource : public CompressedSource {
  public:
    explicit XzSource(const fs::path& path) : CompressedSource(path, "xz") {
        if (lzma_stream_decoder(&stream_, UINT64_MAX, LZMA_CONCATENATED) != LZMA_OK) throw_no_memory();
    }
    ~XzSource() override { lzma_end(&stream_); }
    XzSource(const XzSource&) = delete;
    XzSource& operator=(const XzSource&) = delete;

    size_t read(char* to, size_t size) override {
        stream_.next_out = reinterpret_cast<uint8_t*>(to);
        stream_.avail_out = size;
        while (stream_.avail_out == size && !at_end_) {
            const bool more = !input_.empty() || refill();
            stream_.next_in = reinterpret_cast<const uint8_t*>(input_.data());
            stream_.avail_in = input_.size();
            const lzma_ret status = lzma_code(&stream_, more ? LZMA_RUN : LZMA_FINISH);
            input_.remove_prefix(input_.size() - stream_.avail_in);
            check(status);
            at_end_ = status == LZMA_STREAM_END;
        }
        note_memory(lzma_memusage(&stream_));
        return size - stream_.avail_out;
    }

  private:
    void check(lzma_ret status) const {
        switch (status) {
            case LZMA_OK:
            case LZMA_STREAM_END:
                return;
            case LZMA_BUF_ERROR:
                throw_truncated();
            case LZMA_MEM_ERROR:
                throw_no_memory();
            case LZMA_FORMAT_ERROR:
                throw_damaged("no xz header");
            case LZMA_OPTIONS_ERROR:
                throw_damaged("a filter that liblzma does not know");
            default:
                throw_damaged("its checksums are wrong");
        }
    }

    lzma_stream stream_ = LZMA_STREAM_INIT;
    bool at_end_ = false;
};

}  // namespace

std::unique_ptr<ByteSource> open_zstd(const fs::path& path) { return std::make_unique<ZstdSource>(path); }
std::unique_ptr<ByteSource> open_xz(const fs::path& path) { return std::make_unique<XzSource>(path); }

}  // namespace dropforge::data
