#include "data/text/parser_memory.h"

#include <ctime>

#include <cstdlib>
#include <new>

namespace dropforge::data {

namespace {

/// Ordinary pages take 15 bytes of memory for one of source at most, and are parsed at 15 MB a
/// second.
constexpr size_t kMostBytes = 24 * kLongestMarkup;
constexpr double kSeconds = 1, kSecondsPerByte = 1e-6;
constexpr size_t kAllocationsPerLook = 256;  // reading the clock is a system call

double processor_seconds() {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

}  // namespace

/// Stands before the bytes that the parser gets.
struct alignas(std::max_align_t) ParserMemory::Block {
    Block *previous, *next;
    size_t bytes;
};

ParserMemory::ParserMemory(size_t source_bytes)
    : seconds_(kSeconds + kSecondsPerByte * static_cast<double>(source_bytes)),
      deadline_(processor_seconds() + seconds_) {}

ParserMemory::~ParserMemory() {
    while (blocks_ != nullptr) {
        Block* next = blocks_->next;
        std::free(blocks_);
        blocks_ = next;
    }
}

void ParserMemory::refuse() const {
    if (used_ > kMostBytes) throw MarkupLimit("parsing it takes more than {} MB of memory", kMostBytes >> 20);
    throw MarkupLimit("parsing it takes more than {:.1f} s", seconds_);
}

/// Counts `bytes` as used, and jumps out if they are too many.
void ParserMemory::take(size_t bytes) {
    used_ += bytes;
    const bool late = ++allocations_ % kAllocationsPerLook == 0 && processor_seconds() > deadline_;
    if (used_ > kMostBytes || late) std::longjmp(limit_passed_, 1);
}

void* ParserMemory::allocate(size_t bytes) { return resize(nullptr, bytes); }

void* ParserMemory::resize(void* old, size_t bytes) {
    Block* block = old == nullptr ? nullptr : static_cast<Block*>(old) - 1;
    const size_t before = block == nullptr ? 0 : sizeof(Block) + block->bytes;
    take(sizeof(Block) + bytes - before);
    auto* moved = static_cast<Block*>(std::realloc(block, sizeof(Block) + bytes));
    if (moved == nullptr) {
        used_ = kMostBytes + 1;  // there is no more, whatever the limit
        std::longjmp(limit_passed_, 1);
    }
    if (block == nullptr) {
        moved->previous = nullptr;
        moved->next = blocks_;
    }
    moved->bytes = bytes;
    (moved->previous == nullptr ? blocks_ : moved->previous->next) = moved;
    if (moved->next != nullptr) moved->next->previous = moved;
    return moved + 1;
}

void ParserMemory::free(void* old) {
    if (old == nullptr) return;
    Block* block = static_cast<Block*>(old) - 1;
    used_ -= sizeof(Block) + block->bytes;
    (block->previous == nullptr ? blocks_ : block->previous->next) = block->next;
    if (block->next != nullptr) block->next->previous = block->previous;
    std::free(block);
}

}  // namespace dropforge::data
