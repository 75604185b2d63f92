// The shared memory of the running block: arrays of exact size between red zones, all bits 1 (NaN) when a block starts.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/emulator/simt.h"

namespace dropforge::simt {

class SharedMemory {
  public:
    /// The array of this tag, created at the first call in a launch.
    std::byte* array(const void* tag, const char* name, size_t bytes, Location where);
    /// Calls f(name, contents, bytes) for each array.
    template <typename F>
    void for_each(F&& f) const {
        for (const Array& a : arrays_) f(a.name, a.memory.get() + kZone, a.bytes);
    }
    /// Bytes declared so far, without red zones.
    size_t bytes() const { return bytes_; }
    /// Sets all contents to NaN.
    void poison();
    /// A message that names an array whose red zones were written to; empty if there is none.
    std::string damage() const;
    void clear();

  private:
    static constexpr size_t kZone = 64;  // also the alignment

    struct Free {
        void operator()(std::byte* p) const;
    };
    struct Array {
        const void* tag;
        const char* name;
        size_t bytes;
        Location where;
        std::unique_ptr<std::byte, Free> memory;  // zone, contents, zone
    };

    std::vector<Array> arrays_;
    size_t bytes_ = 0;
};

}  // namespace dropforge::simt
