// A context of the CUDA backend: its streams, its memory, and what its operations keep between calls.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/context.h"
#include "kernels/cuda/runtime/constants.h"
#include "kernels/cuda/runtime/find_device.h"
#include "kernels/cuda/runtime/kernel_selector.h"
#include "kernels/cuda/runtime/options.h"

namespace dropforge::kernels::on_cuda {

/// Error unless `status` is cudaSuccess: "CUDA: cannot `what`: ", then CUDA's own text and name. DeviceLost if no
/// later call can succeed.
void check(cudaError_t status, const char* what);

struct Destroy {
    void operator()(CUstream_st* stream) const noexcept;
    void operator()(CUevent_st* event) const noexcept;
    void operator()(void* device_memory) const noexcept;
};
using Stream = std::unique_ptr<CUstream_st, Destroy>;
using Event = std::unique_ptr<CUevent_st, Destroy>;
using DeviceMemory = std::unique_ptr<void, Destroy>;

Stream make_stream();
/// `flags`: cudaEventDisableTiming …
Event make_event(unsigned flags);
/// Not zeroed. Error with the bytes that are free if there is not enough.
DeviceMemory device_memory(int64_t bytes);

/// Kernels, copies and recordings go to one stream; a second one brings a step's inputs while kernels run.
class CudaContext final : public Context {
  public:
    explicit CudaContext(const CudaOptions& options = {});
    ~CudaContext() override;

    bool on_host() const override { return false; }
    void* allocate(int64_t bytes) override;
    void release(void* memory, int64_t bytes) noexcept override;
    void* allocate_host(int64_t bytes) override;
    void release_host(void* memory, int64_t bytes) noexcept override;
    int64_t free_bytes() const override;
    void upload(void* to, const void* host, int64_t bytes) override;
    void download(void* host, const void* from, int64_t bytes) override;
    void feed(void* to, const void* host, int64_t bytes) override;
    int64_t mark() override;
    void wait(int64_t mark) override;
    void begin_range(const char* name) override;
    void end_range() override;
    void profiler(bool on) override;
    std::unique_ptr<Recording> record(const std::function<void()>& calls) override;
    /// Of the selectors, in the order in which they were made.
    std::vector<KernelChoice> choices() const override;
    std::vector<std::string> take_notes() override;

    cudaStream_t stream() const { return compute_.get(); }
    /// DeviceLost if the device has failed: for who has an error of a library's, which does not tell.
    void require_device(const char* what) const;
    const CudaOptions& options() const { return options_; }
    const CudaDevice& device() const { return device_; }
    /// Whether calls are being recorded: then nothing may be allocated, measured or waited for.
    bool recording() const { return recording_; }
    /// Scratch for libraries, booked once; calls on the stream use it in turn.
    void* workspace() const { return workspace_.get(); }

    /// The context's selector of type T: at the first call for one it is made by `make`, a function that gives a
    /// std::unique_ptr<T>.
    template <typename T, typename Make>
    T& selector(const Make& make) {
        for (const auto& selector : selectors_)
            if (auto* found = dynamic_cast<T*>(selector.get())) return *found;
        std::unique_ptr<T> made = make();
        T& result = *made;
        selectors_.push_back(std::move(made));
        return result;
    }

  private:
    /// A place for inputs on their way. `filled`: the copy from the host is done; `emptied`: so is the one that put
    /// them where they belong.
    struct FeedSlot {
        DeviceMemory memory;
        int64_t bytes = 0;
        Event filled, emptied;
    };
    void refuse_recording(const char* what) const;

    CudaOptions options_;
    CudaDevice device_;
    Stream compute_, copies_;
    std::vector<FeedSlot> slots_;
    size_t next_slot_ = 0;
    std::vector<Event> marks_;  // mark n has event n modulo their number
    int64_t last_mark_ = 0;
    DeviceMemory workspace_;
    bool recording_ = false;
    std::vector<std::unique_ptr<KernelSelector>> selectors_;

  public:
    Constants constants{*this};  // the last member: it is freed through the others
};

}  // namespace dropforge::kernels::on_cuda
