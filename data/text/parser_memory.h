// Limits of memory and time for parsers written in C, which have no such limits: for a hundred kilobytes of nested
// elements or short table rows, both markup parsers take time and memory that grow with the square of the input.
#pragma once

#include <csetjmp>
#include <cstddef>

#include "data/text/markup.h"

namespace dropforge::data {

/// The allocations of one parser, freed by the destructor. A document that exceeds the limit of memory or processor
/// time is refused.
class ParserMemory {
  public:
    explicit ParserMemory(size_t source_bytes);
    ~ParserMemory();
    ParserMemory(const ParserMemory&) = delete;
    ParserMemory& operator=(const ParserMemory&) = delete;

    /// Calls `action`. Throws MarkupLimit if it exceeds a limit: the allocation then returns here by longjmp, as C has
    /// no exceptions, so `action` must have no objects to destroy. The parser's objects can then neither be used nor
    /// freed by it.
    template <typename Action>
    void run(const Action& action) {
        if (setjmp(limit_passed_) == 0) {
            action();
        } else {
            refuse();
        }
    }

    /// As malloc, realloc and free, only within run() and for this object's blocks; never return null.
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
