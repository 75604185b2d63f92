// Memory for parsers written in C, which have no way of being told that it is enough: both markup parsers can be made
// to take the square of their input in time and memory by a hundred kilobytes of nested elements or short table rows.
#pragma once

#include <csetjmp>
#include <cstddef>

#include "data/text/markup.h"

namespace dropforge::data {

/// All that one parser has allocated, freed with it. A document whose memory or processor time is spent is refused.
class ParserMemory {
  public:
    explicit ParserMemory(size_t source_bytes);
    ~ParserMemory();
    ParserMemory(const ParserMemory&) = delete;
    ParserMemory& operator=(const ParserMemory&) = delete;

    /// Calls `action`. Throws MarkupLimit when the limits are passed: out of an allocation the control then comes back
    /// here (longjmp, as C has no exceptions), so `action` may have nothing to destroy. What the parser was making is
    /// in no state to be used, or to be freed by it.
    template <typename Action>
    void run(const Action& action) {
        if (setjmp(limit_passed_) == 0) {
            action();
        } else {
            refuse();
        }
    }

    /// As malloc, realloc and free, but within run() and of this object's blocks only; never null.
    void* allocate(size_t bytes);
    void* resize(void* block, size_t bytes);
    void free(void* block);

  private:
    struct Block;

    void take(size_t bytes);
    [[noreturn]] void refuse() const;

    std::jmp_buf limit_passed_{};
    Block* blocks_ = nullptr;
    size_t used_ = 0, allocations_ = 0;
    double seconds_, deadline_;  // of this thread's processor time
};

}  // namespace dropforge::data
