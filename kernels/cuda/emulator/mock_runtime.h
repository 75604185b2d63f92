// A mock of the CUDA runtime: the functions that the backend's host code calls, for one imaginary device whose memory
// is the host's. Streams are queues; work on a capturing stream goes into a graph. Calls that are forbidden during a
// capture are errors, as on a GPU.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>

namespace dropforge::simt {

/// Queues work on a stream: a kernel's launch, a library's call.
void enqueue(cudaStream_t stream, std::function<void()> work);

/// When queued work runs. A real device may do any of these.
enum class Pace : uint8_t {
    eager,         // at once
    late_kernels,  // kernels (a context's first stream) when they are waited for, copies as early as events allow
    late_copies,   // copies when they are waited for, kernels as early as events allow
};

/// The device and its driver.
struct Machine {
    std::string name = "Imaginary GPU";
    int driver = 13000, devices = 1, major = 9, minor = 0;
    int64_t memory = int64_t{8} << 30;
    bool has_code = true;  // the program has code for it
    Pace pace = Pace::eager;
    std::map<std::string, cudaError_t> failing;  // the error of a function's next call
    cudaError_t lost = cudaSuccess;              // the error of all calls from now on; queued work never runs
    std::function<void(const std::string&)> watch = nullptr;  // called with the name of each call before it runs
    cudaComputeMode compute_mode = cudaComputeModeDefault;
    int64_t used = 0;                  // bytes of device memory
    bool profiled = false;             // between cudaProfilerStart and cudaProfilerStop
    double clock = 0;                  // milliseconds, read by events; work may add to it
    double epilogue_milliseconds = 0;  // time that a bias gradient or GELU adds to a GEMM of cuBLASLt
};
Machine& machine();

/// Restores the machine at the end of the scope, except for the memory in use.
class ScopedMachine {
  public:
    ScopedMachine() : before_(machine()) {}
    ~ScopedMachine() {
        before_.used = machine().used;
        machine() = before_;
    }
    ScopedMachine(const ScopedMachine&) = delete;
    ScopedMachine& operator=(const ScopedMachine&) = delete;

  private:
    Machine before_;
};

}  // namespace dropforge::simt
