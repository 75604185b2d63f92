// Mock definitions of the CUDA runtime's functions, which the emulated backend is linked with instead of the library.
#include "kernels/cuda/emulator/mock_runtime.h"

#include <cuda_profiler_api.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <new>
#include <utility>

#include "kernels/cuda/emulator/mock_streams.h"

namespace dropforge::simt {

namespace {

constexpr size_t kAlignment = 256;  // of memory from cudaMalloc
constexpr size_t kFilled = 64 << 10;

cudaError_t& last_error() {
    static cudaError_t error = cudaSuccess;
    return error;
}

std::map<void*, size_t>& allocations() {
    static std::map<void*, size_t> all;
    return all;
}

cudaError_t fail(cudaError_t error) {
    last_error() = error;
    return error;
}

enum class InCapture : uint8_t { allowed, forbidden };
/// The error with which a function returns before it does anything, if any.
cudaError_t enter(const char* name, InCapture rule = InCapture::allowed) {
    if (machine().watch) machine().watch(name);
    if (machine().lost != cudaSuccess) return fail(machine().lost);
    if (const auto found = machine().failing.find(name); found != machine().failing.end()) {
        const cudaError_t error = found->second;
        machine().failing.erase(found);
        return fail(error);
    }
    if (Stream* stream = streams().capturing(); stream != nullptr && rule == InCapture::forbidden) {
        stream->capture_failed = true;
        return fail(cudaErrorStreamCaptureUnsupported);
    }
    return cudaSuccess;
}

/// Allocates blocks of exactly the requested size, so that the address sanitizer sees accesses beyond. They begin with
/// NaN, so that no code can rely on zeros.
void* take(size_t bytes) {
    void* memory = nullptr;
    if (posix_memalign(&memory, kAlignment, bytes) != 0) throw std::bad_alloc();
    std::memset(memory, 0xff, std::min(bytes, kFilled));
    return memory;
}

Stream& stream_of(cudaStream_t stream) { return *reinterpret_cast<Stream*>(stream); }
Event& event_of(cudaEvent_t event) { return *reinterpret_cast<Event*>(event); }

}  // namespace

Machine& machine() {
    static Machine one;
    return one;
}

void enqueue(cudaStream_t stream, std::function<void()> work) {
    if (machine().lost == cudaSuccess) streams().add(stream_of(stream), {std::move(work)});
}

}  // namespace dropforge::simt

using namespace dropforge::simt;

#define ENTER(...) \
    if (const cudaError_t error = enter(__func__ __VA_OPT__(, ) __VA_ARGS__); error != cudaSuccess) return error

// -------------------------------------------------------------------------------------------------------------- errors
cudaError_t cudaGetLastError() { return std::exchange(last_error(), cudaSuccess); }

namespace {

struct ErrorText {
    cudaError_t error;
    const char *name, *text;
};
#define ERROR_TEXT(error, text) \
    { error, #error, text }
constexpr ErrorText kErrors[] = {
    ERROR_TEXT(cudaErrorMemoryAllocation, "out of memory"),
    ERROR_TEXT(cudaErrorInitializationError, "initialization error"),
    ERROR_TEXT(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
    ERROR_TEXT(cudaErrorECCUncorrectable, "uncorrectable ECC error encountered"),
    ERROR_TEXT(cudaErrorLaunchTimeout, "the launch timed out and was terminated"),
    ERROR_TEXT(cudaErrorLaunchFailure, "unspecified launch failure"),
    ERROR_TEXT(cudaErrorLaunchOutOfResources, "too many resources requested for launch"),
    ERROR_TEXT(cudaErrorDevicesUnavailable, "CUDA-capable device(s) is/are busy or unavailable"),
    ERROR_TEXT(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    ERROR_TEXT(cudaErrorUnknown, "unknown error"),
    ERROR_TEXT(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing"),
    ERROR_TEXT(cudaErrorStreamCaptureInvalidated, "operation failed due to a previous error during capture"),
};
#undef ERROR_TEXT

ErrorText text_of(cudaError_t error) {
    const auto* found = std::ranges::find(kErrors, error, &ErrorText::error);
    return found == std::end(kErrors) ? ErrorText{error, "cudaError…", "some error"} : *found;
}

}  // namespace

const char* cudaGetErrorName(cudaError_t error) { return text_of(error).name; }
const char* cudaGetErrorString(cudaError_t error) { return text_of(error).text; }

// -------------------------------------------------------------------------------------------------------------- device
cudaError_t cudaDriverGetVersion(int* version) {
    ENTER();
    *version = machine().driver;
    return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
    ENTER();
    *version = CUDART_VERSION;
    return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
    ENTER();
    *count = machine().devices;
    if (machine().driver < CUDART_VERSION / 1000 * 1000) return fail(cudaErrorInsufficientDriver);
    return machine().devices == 0 ? fail(cudaErrorNoDevice) : cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
    ENTER();
    *properties = {};
    std::strncpy(properties->name, machine().name.c_str(), sizeof properties->name - 1);
    properties->major = machine().major;
    properties->minor = machine().minor;
    properties->multiProcessorCount = 132;
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int) {
    ENTER();
    return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
    ENTER();
    switch (attribute) {
        case cudaDevAttrClockRate:
            *value = 1980000;
            break;  // kHz
        case cudaDevAttrMemoryClockRate:
            *value = 2619000;
            break;  // kHz
        case cudaDevAttrGlobalMemoryBusWidth:
            *value = 5120;
            break;  // bits
        case cudaDevAttrComputeMode:
            *value = machine().compute_mode;
            break;
        default:
            return fail(cudaErrorInvalidValue);
    }
    return cudaSuccess;
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes*, const void*) {
    ENTER();
    return machine().has_code ? cudaSuccess : fail(cudaErrorNoKernelImageForDevice);
}

// -------------------------------------------------------------------------------------------------------------- memory
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
    ENTER();
    *free = static_cast<size_t>(std::max<int64_t>(machine().memory - machine().used, 0));
    *total = static_cast<size_t>(machine().memory);
    return cudaSuccess;
}
cudaError_t cudaMalloc(void** memory, size_t bytes) {
    ENTER(InCapture::forbidden);
    if (static_cast<int64_t>(bytes) > machine().memory - machine().used) return fail(cudaErrorMemoryAllocation);
    *memory = take(bytes);
    allocations().emplace(*memory, bytes);
    machine().used += static_cast<int64_t>(bytes);
    return cudaSuccess;
}
cudaError_t cudaFree(void* memory) {
    const cudaError_t error = enter(__func__, InCapture::forbidden);
    if (memory == nullptr || (error != cudaSuccess && machine().lost == cudaSuccess)) return error;
    const auto found = allocations().find(memory);
    if (found == allocations().end()) return fail(cudaErrorInvalidValue);
    // The real function usually waits for the device, which is not guaranteed. Memory of a lost device is gone.
    machine().used -= static_cast<int64_t>(found->second);
    allocations().erase(found);
    std::free(memory);
    return error;
}
cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) {
    ENTER(InCapture::forbidden);
    *memory = take(bytes);
    return cudaSuccess;
}
cudaError_t cudaFreeHost(void* memory) {
    const cudaError_t error = enter(__func__, InCapture::forbidden);
    if (error != cudaSuccess && machine().lost == cudaSuccess) return error;
    if (error == cudaSuccess) streams().finish_all();
    std::free(memory);
    return error;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
    ENTER();
    enqueue(stream, [=] { std::memmove(to, from, bytes); });
    return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
    ENTER();
    enqueue(stream, [=] { std::memset(to, value, bytes); });
    return cudaSuccess;
}

// -------------------------------------------------------------------------------------------------- streams and events
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
    ENTER();
    *stream = reinterpret_cast<cudaStream_t>(streams().create());
    return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    streams().destroy(&stream_of(stream));
    return machine().lost;
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
    ENTER(InCapture::forbidden);
    return stream_of(stream).queue.empty() ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    ENTER(InCapture::forbidden);
    streams().finish(stream_of(stream));
    return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
    ENTER(InCapture::forbidden);  // the real one may add another stream to a capture
    Event& e = event_of(event);
    streams().add(stream_of(stream), {{}, &e, e.recorded});
    return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
    ENTER();
    *event = reinterpret_cast<cudaEvent_t>(new Event);
    return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
    if (machine().lost == cudaSuccess) {
        streams().complete(event_of(event), event_of(event).recorded);
        streams().finish_all();  // work that waits for the event
    }
    delete &event_of(event);
    return machine().lost;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    ENTER(InCapture::forbidden);  // the real one may be captured
    streams().record(event_of(event), stream_of(stream));
    return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    ENTER(InCapture::forbidden);
    streams().complete(event_of(event), event_of(event).recorded);
    return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
    ENTER();
    *milliseconds = static_cast<float>(event_of(end).time - event_of(begin).time);
    return cudaSuccess;
}

// -------------------------------------------------------------------------------------------------------------- graphs
// A graph and its instance are both a shared list of work.
namespace {

using Captured = std::shared_ptr<Works>;
template <typename Handle>
Captured& captured(Handle handle) {
    return *reinterpret_cast<Captured*>(handle);
}

}  // namespace

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
    ENTER(InCapture::forbidden);
    stream_of(stream).capture = std::make_shared<Works>();
    stream_of(stream).capture_failed = false;
    return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
    Captured works = std::exchange(stream_of(stream).capture, nullptr);
    *graph = nullptr;
    ENTER();
    if (stream_of(stream).capture_failed) return fail(cudaErrorStreamCaptureInvalidated);
    *graph = reinterpret_cast<cudaGraph_t>(new Captured(std::move(works)));
    return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* run, cudaGraph_t graph, unsigned long long) {
    ENTER();
    *run = reinterpret_cast<cudaGraphExec_t>(new Captured(captured(graph)));
    return cudaSuccess;
}
cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) {
    ENTER();
    return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t run, cudaStream_t stream) {
    ENTER();
    enqueue(stream, [works = captured(run)] {
        for (const Work& work : *works) work();
    });
    return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t run) {
    delete &captured(run);
    return machine().lost;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    delete &captured(graph);
    return machine().lost;
}

// ------------------------------------------------------------------------------------------------------------ profiler
cudaError_t cudaProfilerStart() {
    ENTER();
    machine().profiled = true;
    return cudaSuccess;
}

cudaError_t cudaProfilerStop() {
    ENTER();
    machine().profiled = false;
    return cudaSuccess;
}
