#include "kernels/cuda/emulator/observer.h"

#include <cstring>

#include "kernels/cuda/emulator/cuda.h"
#include "kernels/cuda/emulator/device.h"

namespace dropforge::simt {

ScopedObserver::ScopedObserver(Observer& observer) : previous_(std::exchange(device().observer, &observer)) {}
ScopedObserver::~ScopedObserver() { device().observer = previous_; }

std::byte* Device::shared_array(const void* tag, const char* name, size_t bytes, Location where) {
    const size_t before = shared_.bytes();
    std::byte* array = shared_.array(tag, name, bytes, where);
    if (observer && shared_.bytes() != before) observer->shared_array(name, array, bytes);
    return array;
}

void Device::note(const void* p, size_t bytes, AccessKind kind, const void* site) {
    if (!observer || !in_thread_ || stacks_->contain(p)) return;
    observer->access({reinterpret_cast<uintptr_t>(p), bytes, kind, site, block_, static_cast<uint32_t>(running_)});
}

void Device::fence() {
    if (observer) observer->fence(static_cast<uint32_t>(running_));
}

void note_access(const void* p, size_t bytes, AccessKind kind, const void* site) {
    device().note(p, bytes, kind, site);
}

uint64_t load_atomically(const void* p, size_t bytes) {
    device().note(p, bytes, AccessKind::atomic, __builtin_return_address(0));
    uint64_t value = 0;
    std::memcpy(&value, p, bytes);
    return value;
}

void note_read(const void* p, size_t bytes) { device().note(p, bytes, AccessKind::read, __builtin_return_address(0)); }

void store_atomically(void* p, size_t bytes, uint64_t value) { std::memcpy(p, &value, bytes); }

void thread_fence() { device().fence(); }

bool observed() { return device().observer != nullptr; }

void declare_unwritten(const void* p, size_t bytes) {
    if (Observer* o = device().observer) o->unwritten(p, bytes);
}
void declare_written(const void* p, size_t bytes) {
    if (Observer* o = device().observer) o->written(p, bytes);
}
void declare_all_written() {
    if (Observer* o = device().observer) o->all_written();
}

std::string complaints() {
    Observer* o = device().observer;
    return o ? o->complaints() : std::string();
}

}  // namespace dropforge::simt
