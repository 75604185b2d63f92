// Counts the global memory traffic of CUDA kernels, by launch and named buffer. For kernel files that are compiled for
// it (compile.sh).
//
// A request is the accesses of one instruction of one warp: those of its lanes that come from the same call, the n-th
// of that call in each lane since the warp last synchronised (a barrier or a warp operation). A GPU moves sectors of 32
// bytes. A pack of more than 16 bytes counts as one access: its halves are requested one right after the other, and the
// second finds its sector in flight.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernels/cuda/emulator/observer.h"

namespace dropforge::simt {

constexpr int64_t kSector = 32;  // bytes

struct Traffic {
    int64_t requests = 0;
    int64_t bytes = 0;    // requested; bytes that lanes of a request share count once
    int64_t sectors = 0;  // of all requests
    /// Sectors without those that the same block has requested before, which are still in a cache.
    int64_t sectors_of_blocks = 0;
    int64_t distinct_bytes = 0, distinct_sectors = 0;  // of the whole launch
};

struct BufferTraffic {
    std::string name;
    int64_t size;  // bytes
    Traffic read, written;
};
struct LaunchTraffic {
    Location where;
    std::vector<BufferTraffic> buffers;  // those that were touched
};

/// Atomic accesses count as reads and as writes. Accesses outside named buffers do not count.
class TrafficCounter final : public Observer {
  public:
    TrafficCounter();
    ~TrafficCounter() override;

    /// Names [p, p + bytes) a buffer from now on. p is a multiple of 32.
    void name(const std::string& name, const void* p, int64_t bytes);
    /// The launches since the last call.
    std::vector<LaunchTraffic> take_launches() { return std::exchange(launches_, {}); }

    void launch_begins(const LaunchShape& shape) override;
    void launch_ends() override;
    void block_begins() override;
    void access(const Access& a) override;
    void barrier() override;
    void warp_operation(size_t warp, uint32_t lanes, WarpOperation operation) override;

  private:
    struct Buffer;
    struct Request;
    struct Call;
    /// A lane's last access.
    struct Last {
        Call* call = nullptr;
        size_t request = 0;
        uintptr_t end = 0;
    };

    Buffer* find(uintptr_t address);
    bool continues(const Access& a, const Call& call) const;
    void count(const Request& request, AccessKind kind);
    void count_all();

    std::vector<std::unique_ptr<Buffer>> buffers_;
    Buffer* recent_ = nullptr;
    std::unordered_map<const void*, std::unique_ptr<Call>> calls_;
    std::vector<Last> last_;          // of each thread since its warp last synchronised
    std::vector<uint64_t> meetings_;  // number of synchronisations of each warp
    uint32_t block_ = 0;              // number of blocks of the launch that have begun
    Location where_;
    std::vector<LaunchTraffic> launches_;
};

}  // namespace dropforge::simt
