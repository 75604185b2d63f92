// The context of the CUDA backend: streams, memory, and the state that operations keep between calls.
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
/// `flags` are cudaEventCreateWithFlags', such as cudaEventDisableTiming.
Event make_event(unsigned flags);
/// Device memory, not zeroed. Error with the number of free bytes if there is too little.
DeviceMemory device_memory(int64_t bytes);

/// Queues kernels, copies and recordings on one stream; a second stream copies a step's inputs while kernels run.
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
    /// The choices of all selectors, in the order in which these were created.
    std::vector<KernelChoice> choices() const override;
    std::vector<std::string> take_notes() override;

    cudaStream_t stream() const { return compute_.get(); }
    /// DeviceLost if the device has failed. For callers with a library's error, which does not say so.
    void require_device(const char* what) const;
    const CudaOptions& options() const { return options_; }
    const CudaDevice& device() const { return device_; }
    /// Whether calls are being recorded, when allocations, measurements and waits are impossible.
    bool recording() const { return recording_; }
    /// Scratch of kWorkspaceBytes for libraries; calls on the stream use it one after the other.
    void* workspace() const { return workspace_.get(); }

    /// The context's selector of type T, created at the first call by `make`, which returns a std::unique_ptr<T>.
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
    /// A staging buffer of feed(). `filled`: the copy from the host is done; `emptied`: the copy to the operands is.
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
    std::vector<Event> marks_;  // a ring: mark n has event n % size
    int64_t last_mark_ = 0;
    DeviceMemory workspace_;
    bool recording_ = false;
    std::vector<std::unique_ptr<KernelSelector>> selectors_;

  public:
    Constants constants{*this};  // the last member, since its destructor uses the others
};

}  // namespace dropforge::kernels::on_cuda
