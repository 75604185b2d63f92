// CUDA's runtime without a GPU: the functions that the host side of the backend calls, for one imaginary device whose
// memory is the host's. Streams are queues; what is on a stream that captures is kept for a graph. What is not allowed
// while a stream captures is an error here too.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>

namespace dropforge::simt {

/// Queues work on a stream: a kernel's launch, a library's call.
void enqueue(cudaStream_t stream, std::function<void()> work);

/// When queued work runs. A device may do all of these.
enum class Pace : uint8_t {
    eager,         // at once
    late_kernels,  // that of a context's first stream when somebody waits for it, copies as early as events let them
    late_copies,   // the reverse
};

/// The device and its driver.
struct Machine {
    std::string name = "Imaginary GPU";
    int driver = 13000, devices = 1, major = 9, minor = 0;
    int64_t memory = int64_t{8} << 30;
    bool has_code = true;  // the program has code for it
    Pace pace = Pace::eager;
    std::map<std::string, cudaError_t> failing;  // what the next call of a function returns, once
    cudaError_t lost = cudaSuccess;              // what every call returns from now on; what is queued never runs
    std::function<void(const std::string&)> watch = nullptr;  // sees the name of each call before it is carried out
    cudaComputeMode compute_mode = cudaComputeModeDefault;
    int64_t used = 0;                  // bytes of device memory
    bool profiled = false;             // between cudaProfilerStart and cudaProfilerStop
    double clock = 0;                  // milliseconds, as events see them; work may add to it
    double epilogue_milliseconds = 0;  // what sums of an operand, or GELU, add to a product of cuBLASLt
};
Machine& machine();

/// Puts the machine back as it was, but for the memory in use.
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
