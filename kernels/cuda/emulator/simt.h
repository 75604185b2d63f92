// Runs CUDA kernels on the host: every CUDA thread is a fiber, and a block runs to its end before the next begins. The
// scheduler is as unfair as CUDA allows: of the threads that can run, always the first in the chosen order continues,
// as far as it can. So one warp runs far ahead of the others, which reveals a missing barrier, and comparing the orders
// reveals nondeterministic results.
//
// Errors that CUDA leaves undefined end the launch with an Error that names the source line, the block and the thread:
// barriers that threads reach on different lines, deadlocks, shuffles from lanes that do not take part, launches that
// no device supports, writes beyond a shared array. Shared memory is NaN at the start of a block.
//
// Tensor cores are a function of the values of all lanes of a warp; asynchronous copies are made as late as possible.
// Not modelled: weak memory ordering, caches, clusters, spinning on another block.
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

/// The order in which blocks, and the threads of a block, run.
enum class Order : uint8_t { forward, reverse, random };

/// Sets the order of this host thread's launches while it lives; without one it is forward. `random` shuffles threads
/// in some blocks and warps in others; the same seed gives the same order in every launch.
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

/// The shape of a launch; Error, with `where`, if a device would refuse it.
struct LaunchShape {
    dim3 grid, block;
    size_t dynamic_bytes = 0;
    Location where;
    const void* kernel = nullptr;  // which function; launch() sets it
};
/// Runs body(argument) in every thread of every block.
void run(const LaunchShape& shape, void (*body)(void*), void* argument);

/// kernel<<<…>>>(arguments…).
template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), LaunchShape shape, Arguments&&... arguments) {
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

/// Waits for all threads of the block that have not ended; returns the number of true votes.
int block_barrier(bool vote, Location where);

enum class WarpOperation : uint8_t { sync, shuffle, vote, match, together };

/// The values of the lanes of a warp operation; valid until the next one of the same mask.
struct Exchange {
    const uint64_t* values;  // [32]
    uint32_t present;        // lanes that took part
};
/// Waits for all lanes of `mask` that have not ended.
Exchange exchange(uint32_t mask, uint64_t value, WarpOperation operation, Location where);
/// The value of lane `source`; Error if that lane does not take part.
uint64_t shuffle(uint32_t mask, uint64_t value, int source, Location where);

/// An operation of all 32 lanes of a warp: the lane that comes last calls body with the values of all, which it may
/// overwrite. Error if a lane has ended.
void together(void* value, void (*body)(void* const* lanes), Location where);

/// cp.async: copies `from`, or zeros (nullptr), to `to`. The copy is made when this thread waits for it, so that a read
/// without waiting finds the old contents.
void copy_later(void* to, const void* from, size_t bytes);
/// Makes the copies of this thread since the last call a group.
void end_copy_group();
/// Makes the copies of all groups but the last `pending`.
void wait_for_copies(unsigned pending);

int lane();

/// The two halves of an atomic function, of 4 or 8 bytes: no other thread runs in between.
uint64_t load_atomically(const void* p, size_t bytes);
void store_atomically(void* p, size_t bytes, uint64_t value);
void thread_fence();
/// Reports an access to the observer that another thread makes for this one.
void note_read(const void* p, size_t bytes);

// ------------------------------------------------------------------------------------------- observers (observer.h)
/// Whether this host thread's launches have an observer.
bool observed();
/// Declares memory as unwritten or written to the observer, if there is one. Undeclared memory counts as written.
void declare_unwritten(const void* p, size_t bytes);
void declare_written(const void* p, size_t bytes);
/// Declares all memory as written, after code that is not observed.
void declare_all_written();
/// The errors that the observer has found since the last call; empty: none.
std::string complaints();

}  // namespace dropforge::simt
