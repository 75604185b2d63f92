// main() of the tests where they run CUDA kernels on a GPU: tests hand kernels pointers to whatever they have at hand,
// and a GPU reaches page-locked memory only. So everything that `new` gives is page-locked, and so is the stack that
// the tests run on.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <pthread.h>

#include <array>
#include <bit>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>

#include "kernels/cuda/backend.h"

namespace {

/// One page-locked block, cut into pieces of powers of two that are used again. While it is being made, or without a
/// GPU, memory is the system's.
class PageLocked {
  public:
    void* take(size_t bytes) {
        const std::lock_guard lock(mutex_);
        if (!begin_ || bytes > kBytes) return std::malloc(bytes);
        const auto power = static_cast<size_t>(std::bit_width(bytes | 15));
        if (void* piece = free_[power]) {
            free_[power] = *static_cast<void**>(piece);
            return piece;
        }
        const size_t size = size_t{1} << power;
        if (used_ + kHeader + size > kBytes) return std::malloc(bytes);
        char* piece = begin_ + used_ + kHeader;
        used_ += kHeader + size;
        *reinterpret_cast<size_t*>(piece - kHeader) = power;
        return piece;
    }
    void give_back(void* piece) {
        auto* at = static_cast<char*>(piece);
        const std::lock_guard lock(mutex_);
        if (at < begin_ || at >= begin_ + kBytes) return std::free(piece);
        void*& first = free_[*reinterpret_cast<size_t*>(at - kHeader)];
        *static_cast<void**>(piece) = first;
        first = piece;
    }
    /// Error if there is no GPU. Never given back: the driver may be gone when the last piece is.
    void make() {
        static auto* context = dropforge::kernels::cuda().create_context().release();
        begin_ = static_cast<char*>(context->allocate_host(kBytes));
    }

  private:
    static constexpr size_t kBytes = size_t{1} << 30, kHeader = 16;

    std::mutex mutex_;
    char* begin_ = nullptr;
    size_t used_ = 0;
    std::array<void*, 64> free_{};
};

PageLocked& memory() {
    alignas(PageLocked) static std::array<std::byte, sizeof(PageLocked)> place;
    static auto* all = ::new (place.data()) PageLocked;
    return *all;
}

struct Arguments {
    int count;
    char** values;
    int result;
};

}  // namespace

void* operator new(size_t bytes) {
    void* p = memory().take(bytes);
    if (p == nullptr) throw std::bad_alloc();
    return p;
}
void operator delete(void* p) noexcept {
    if (p != nullptr) memory().give_back(p);
}
void operator delete(void* p, size_t) noexcept { operator delete(p); }

int main(int argc, char** argv) {
    memory().make();
    constexpr size_t kStack = size_t{64} << 20;
    void* const stack = ::operator new(kStack);
    Arguments arguments{argc, argv, 1};
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, stack, kStack);
    pthread_t thread;
    const auto run = [](void* p) -> void* {
        auto* a = static_cast<Arguments*>(p);
        a->result = doctest::Context(a->count, a->values).run();
        return nullptr;
    };
    if (pthread_create(&thread, &attributes, run, &arguments) != 0) return 1;
    pthread_join(thread, nullptr);
    return arguments.result;
}
