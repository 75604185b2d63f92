// Runs CUDA kernels on the host: every CUDA thread is a fiber, a block runs to its end before the next begins. The
// scheduler is as unfair as it may be: of the threads that can run, always the first in the chosen order goes on, as
// far as it can. So one warp runs far ahead of the others, which shows a missing barrier, and comparing the orders
// shows what depends on luck.
//
// What CUDA forbids ends the launch with an Error that names the source line, the block and the thread: barriers that
// threads reach on different lines, threads that wait for one another for ever, shuffles from lanes that do not take
// part, launches that no device takes, writes beyond a shared array. Shared memory is NaN at the start of a block.
//
// Tensor cores are a function that gets what all lanes of a warp hold; asynchronous copies are made as late as they
// may. Not modelled: weak memory ordering, caches, clusters, spinning on another block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <tuple>
#include <utility>

#include <vector_types.h>

namespace dropforge::simt {

/// A line of a kernel or of its launcher.
struct Location {
    const char* file = "";
    unsigned line = 0;
    static constexpr Location current(const char* file = __builtin_FILE(), unsigned line = __builtin_LINE()) {
        return {file, line};
    }
};

/// Who runs first, blocks and threads alike.
enum class Order : uint8_t { forward, reverse, random };

/// The order of this host thread's launches as long as it lives; forward where there is none. `random` shuffles single
/// threads in some blocks and whole warps in others; the same seed gives the same order in every launch.
class ScopedOrder {
  public:
    explicit ScopedOrder(Order order, uint64_t seed = 1);
    ~ScopedOrder();
    ScopedOrder(const ScopedOrder&) = delete;
    ScopedOrder& operator=(const ScopedOrder&) = delete;

  private:
    Order previous_;
    uint64_t previous_seed_;
};

constexpr int kWarp = 32;
constexpr unsigned kMaxThreads = 1024;        // of a block
constexpr size_t kMaxSharedBytes = 48 << 10;  // static and dynamic together, without opting in to more

/// What a launch needs; Error, with `where`, if a device would refuse it.
struct Shape {
    dim3 grid, block;
    size_t dynamic_bytes = 0;
    Location where;
    const void* kernel = nullptr;  // which function; launch() sets it
};
/// Runs body(argument) in every thread of every block.
void run(const Shape& shape, void (*body)(void*), void* argument);

/// kernel<<<…>>>(arguments…).
template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), Shape shape, Arguments&&... arguments) {
    shape.kernel = reinterpret_cast<const void*>(kernel);
    struct Call {
        void (*kernel)(Parameters...);
        std::tuple<Parameters...> arguments;
    } call{kernel, {std::forward<Arguments>(arguments)...}};
    run(
        shape,
        [](void* argument) {
            auto& c = *static_cast<Call*>(argument);
            std::apply(c.kernel, c.arguments);
        },
        &call);
}

// ---------------------------------------------------------------------------------------- what kernels call (cuda.h)
/// The block's array declared at `tag`, NaN at the start of each block, with red zones around it.
void* shared_array(const void* tag, const char* name, size_t bytes, Location where);
/// The dynamic shared memory of the launch; nullptr if it has none.
void* dynamic_shared();

/// Waits for all threads of the block that have not ended; gives how many of them came with a true vote.
int block_barrier(bool vote, Location where);

enum class WarpOperation : uint8_t { sync, shuffle, vote, match, together };

/// What the lanes of a warp operation brought; valid until the next one of the same mask.
struct Exchange {
    const uint64_t* values;  // [32]
    uint32_t present;        // lanes that took part
};
/// Waits for all lanes of `mask` that have not ended.
Exchange exchange(uint32_t mask, uint64_t value, WarpOperation operation, Location where);
/// The value of lane `source`; Error if that lane does not take part.
uint64_t shuffle(uint32_t mask, uint64_t value, int source, Location where);

/// What a whole warp does at once: body is called by the lane that comes last with what all 32 brought, and may write
/// there. Error if a lane has ended.
void together(void* mine, void (*body)(void* const* lanes), Location where);

/// cp.async: `to` becomes what `from` has, or zero (nullptr). No sooner than this thread waits, so that whoever reads
/// without waiting finds what was there before.
void copy_later(void* to, const void* from, size_t bytes);
/// The copies of this thread since the last call are a group.
void end_copy_group();
/// Makes the copies of all groups but the last `pending`.
void wait_for_copies(unsigned pending);

int lane();

/// The two halves of an atomic function, of 4 or 8 bytes: no other thread runs in between.
uint64_t load_atomically(const void* p, size_t bytes);
void store_atomically(void* p, size_t bytes, uint64_t value);
void thread_fence();
/// Tells the observer of an access that is made for this thread by another.
void note_read(const void* p, size_t bytes);

// ------------------------------------------------------------------------------------------- observers (observer.h)
/// Whether an observer looks at this host thread's launches.
bool observed();
/// What an observer is told of memory that kernels use: nothing has been written to it yet, or it has. Memory of which
/// nothing is said counts as written. Without an observer these do nothing.
void declare_unwritten(const void* p, size_t bytes);
void declare_written(const void* p, size_t bytes);
/// All memory has been written: code ran that no observer sees.
void declare_all_written();
/// What the observer has found since this was last asked; empty if nothing is wrong.
std::string complaints();

}  // namespace dropforge::simt
