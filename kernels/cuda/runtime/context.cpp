#include "kernels/cuda/runtime/context.h"

#include <cuda_profiler_api.h>
#include <nvtx3/nvToolsExt.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "kernels/cuda/runtime/workspace.h"
#include "kernels/device_lost.h"

namespace dropforge::kernels::on_cuda {

namespace {

/// Staging buffers of feed(): enough for the inputs of two steps, each of which feeds a few times.
constexpr size_t kFeedSlots = 16;
constexpr int64_t kFeedUnit = 64 << 10;
/// Events for marks; a wait for an older mark waits for the one that took over its event.
constexpr size_t kMarks = 64;
double gigabytes(int64_t bytes) { return static_cast<double>(bytes) / 1e9; }

/// Whether the error means that no later call of this process can succeed.
bool device_lost(cudaError_t status) {
    switch (status) {
        case cudaErrorIllegalAddress:
        case cudaErrorLaunchFailure:
        case cudaErrorLaunchTimeout:
        case cudaErrorECCUncorrectable:
        case cudaErrorHardwareStackError:
        case cudaErrorIllegalInstruction:
        case cudaErrorMisalignedAddress:
        case cudaErrorInvalidAddressSpace:
        case cudaErrorInvalidPc:
        case cudaErrorAssert:
        case cudaErrorNvlinkUncorrectable:
        case cudaErrorContextIsDestroyed:
        case cudaErrorNoDevice:  // the GPU existed when the context was created: it has fallen off the bus
        case cudaErrorDevicesUnavailable:
        case cudaErrorUnknown:
            return true;
        default:
            return false;
    }
}

class GraphRecording final : public Recording {
  public:
    GraphRecording(cudaGraph_t graph, cudaStream_t stream) : stream_(stream) {
        check(cudaGraphInstantiate(&run_, graph, 0), "prepare a recording");
        if (const cudaError_t status = cudaGraphUpload(run_, stream); status != cudaSuccess) {
            cudaGraphExecDestroy(run_);
            check(status, "upload a recording");
        }
    }
    ~GraphRecording() override { cudaGraphExecDestroy(run_); }
    void run() override { check(cudaGraphLaunch(run_, stream_), "run a recording"); }

  private:
    cudaGraphExec_t run_ = nullptr;
    cudaStream_t stream_;
};

struct DestroyGraph {
    void operator()(CUgraph_st* graph) const noexcept { cudaGraphDestroy(graph); }
};

}  // namespace

void check(cudaError_t status, const char* what) {
    if (status == cudaSuccess) return;
    cudaGetLastError();  // clears the error, which the next call would report again
    const char *text = cudaGetErrorString(status), *name = cudaGetErrorName(status);
    if (device_lost(status))
        throw DeviceLost("CUDA: the GPU has failed, noticed on trying to {}: {} ({})", what, text, name);
    throw Error("CUDA: cannot {}: {} ({})", what, text, name);
}

// Errors of a release are ignored: the call that caused them has reported them.
void Destroy::operator()(CUstream_st* stream) const noexcept { cudaStreamDestroy(stream); }
void Destroy::operator()(CUevent_st* event) const noexcept { cudaEventDestroy(event); }
void Destroy::operator()(void* device_memory) const noexcept { cudaFree(device_memory); }

Stream make_stream() {
    cudaStream_t stream = nullptr;
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "make a stream");
    return Stream(stream);
}

Event make_event(unsigned flags) {
    cudaEvent_t event = nullptr;
    check(cudaEventCreateWithFlags(&event, flags), "make an event");
    return Event(event);
}

DeviceMemory device_memory(int64_t bytes) {
    void* memory = nullptr;
    const cudaError_t status = cudaMalloc(&memory, static_cast<size_t>(bytes));
    if (status == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        size_t free = 0, total = 0;
        check(cudaMemGetInfo(&free, &total), "ask for free memory");
        throw Error(
            "cannot get {} bytes ({:.2f} GB) of GPU memory: {} bytes ({:.2f} GB) of {:.2f} GB are free, the rest is "
            "this process's or others' (nvidia-smi lists them); a smaller batch or shorter sequences need less",
            bytes, gigabytes(bytes), free, gigabytes(static_cast<int64_t>(free)),
            gigabytes(static_cast<int64_t>(total)));
    }
    check(status, "get GPU memory");
    return DeviceMemory(memory);
}

CudaContext::CudaContext(const CudaOptions& options) : options_(options) {
    std::string why_not;
    std::optional<CudaDevice> device = find_cuda_device(why_not);
    if (!device) throw Error("{}", why_not);
    device_ = *std::move(device);
    compute_ = make_stream();
    copies_ = make_stream();
    for (size_t i = 0; i < kFeedSlots; ++i)
        slots_.push_back({{}, 0, make_event(cudaEventDisableTiming), make_event(cudaEventDisableTiming)});
    // A host thread that waits for a step leaves its core to the threads that make the next batch.
    for (size_t i = 0; i < kMarks; ++i) marks_.push_back(make_event(cudaEventDisableTiming | cudaEventBlockingSync));
    workspace_ = device_memory(kWorkspaceBytes);
}

CudaContext::~CudaContext() {
    cudaStreamSynchronize(copies_.get());
    cudaStreamSynchronize(compute_.get());
    while (!selectors_.empty()) selectors_.pop_back();  // before the stream, which their libraries use
}

void CudaContext::require_device(const char* what) const {
    if (recording_) return;  // a synchronisation would abort the recording, whose end reports the failure
    const cudaError_t status = cudaStreamQuery(stream());
    if (status != cudaErrorNotReady) check(status, what);
}

void CudaContext::refuse_recording(const char* what) const {
    require(!recording_, "CUDA: cannot {} while calls are being recorded", what);
}

void* CudaContext::allocate(int64_t bytes) {
    require(bytes >= 0, "a buffer of {} bytes", bytes);
    refuse_recording("get memory");
    if (bytes == 0) return nullptr;
    DeviceMemory memory = device_memory(bytes);
    check(cudaMemsetAsync(memory.get(), 0, static_cast<size_t>(bytes), stream()), "clear memory");
    return memory.release();
}

void CudaContext::release(void* memory, int64_t) noexcept {
    if (memory == nullptr) return;
    cudaStreamSynchronize(stream());  // queued work may still use it
    cudaFree(memory);
}

void* CudaContext::allocate_host(int64_t bytes) {
    require(bytes >= 0, "a buffer of {} bytes", bytes);
    refuse_recording("get memory");
    if (bytes == 0) return nullptr;
    void* memory = nullptr;
    const cudaError_t status = cudaHostAlloc(&memory, static_cast<size_t>(bytes), cudaHostAllocDefault);
    if (status == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        throw Error("cannot get {} bytes ({:.2f} GB) of page-locked host memory", bytes, gigabytes(bytes));
    }
    check(status, "get page-locked host memory");
    std::fill_n(static_cast<char*>(memory), bytes, '\0');
    return memory;
}

void CudaContext::release_host(void* memory, int64_t) noexcept {
    if (memory == nullptr) return;
    cudaStreamSynchronize(stream());
    cudaFreeHost(memory);
}

int64_t CudaContext::free_bytes() const {
    size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total), "ask for free memory");
    return static_cast<int64_t>(free);
}

void CudaContext::upload(void* to, const void* host, int64_t bytes) {
    if (bytes > 0)
        check(cudaMemcpyAsync(to, host, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, stream()),
              "copy to the GPU");
}

void CudaContext::download(void* host, const void* from, int64_t bytes) {
    if (bytes > 0)
        check(cudaMemcpyAsync(host, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, stream()),
              "copy from the GPU");
}

void CudaContext::feed(void* to, const void* host, int64_t bytes) {
    refuse_recording("feed inputs");
    if (bytes == 0) return;
    FeedSlot& slot = slots_[next_slot_++ % slots_.size()];
    if (slot.bytes < bytes) {
        check(cudaEventSynchronize(slot.emptied.get()), "wait for inputs");
        slot.memory.reset();
        slot.bytes = 0;
        const int64_t enough = (bytes + kFeedUnit - 1) / kFeedUnit * kFeedUnit;
        slot.memory = device_memory(enough);
        slot.bytes = enough;
    }
    const auto size = static_cast<size_t>(bytes);
    const cudaStream_t copies = copies_.get();
    check(cudaStreamWaitEvent(copies, slot.emptied.get(), 0), "order inputs");
    check(cudaMemcpyAsync(slot.memory.get(), host, size, cudaMemcpyHostToDevice, copies), "copy inputs to the GPU");
    check(cudaEventRecord(slot.filled.get(), copies), "order inputs");
    check(cudaStreamWaitEvent(stream(), slot.filled.get(), 0), "order inputs");
    check(cudaMemcpyAsync(to, slot.memory.get(), size, cudaMemcpyDeviceToDevice, stream()), "put inputs in place");
    check(cudaEventRecord(slot.emptied.get(), stream()), "order inputs");
}

int64_t CudaContext::mark() {
    refuse_recording("mark a point");
    ++last_mark_;
    check(cudaEventRecord(marks_[static_cast<size_t>(last_mark_) % kMarks].get(), stream()), "mark a point");
    return last_mark_;
}

void CudaContext::wait(int64_t mark) {
    refuse_recording("wait");
    require(mark <= last_mark_, "mark {} of a context that has given {}", mark, last_mark_);
    if (mark <= 0) return;  // the mark before any work
    check(cudaEventSynchronize(marks_[static_cast<size_t>(mark) % kMarks].get()), "wait for the GPU");
}

void CudaContext::begin_range(const char* name) { nvtxRangePushA(name); }
void CudaContext::end_range() { nvtxRangePop(); }

void CudaContext::profiler(bool on) {
    synchronize();  // so that the profile begins or ends between queued work
    check(on ? cudaProfilerStart() : cudaProfilerStop(), "tell the profiler");
}

std::unique_ptr<Recording> CudaContext::record(const std::function<void()>& calls) {
    refuse_recording("record");
    check(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal), "record calls");
    recording_ = true;
    const auto end = [&](cudaGraph_t* graph) {
        recording_ = false;
        return cudaStreamEndCapture(stream(), graph);
    };
    cudaGraph_t graph = nullptr;
    try {
        calls();
    } catch (...) {
        if (end(&graph) == cudaSuccess) cudaGraphDestroy(graph);
        cudaGetLastError();
        throw;
    }
    check(end(&graph), "record calls");
    const std::unique_ptr<CUgraph_st, DestroyGraph> owner(graph);
    return std::make_unique<GraphRecording>(graph, stream());
}

std::vector<KernelChoice> CudaContext::choices() const {
    std::vector<KernelChoice> all;
    for (const auto& selector : selectors_) std::ranges::copy(selector->choices(), std::back_inserter(all));
    return all;
}

std::vector<std::string> CudaContext::take_notes() {
    std::vector<std::string> all;
    for (const auto& selector : selectors_) std::ranges::move(selector->take_notes(), std::back_inserter(all));
    return all;
}

}  // namespace dropforge::kernels::on_cuda
