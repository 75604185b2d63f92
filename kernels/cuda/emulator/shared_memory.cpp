#include "kernels/cuda/emulator/shared_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "kernels/cuda/emulator/asan.h"

namespace dropforge::simt {

namespace {

constexpr auto kZoneByte = std::byte{0xa5};

// With the address sanitizer an access to a red zone is reported at once; without it, a write is found afterwards.
void close_zone([[maybe_unused]] const std::byte* begin, [[maybe_unused]] size_t bytes) {
#if DROPFORGE_ASAN
    __asan_poison_memory_region(begin, bytes);
#endif
}
void open_zone([[maybe_unused]] const std::byte* begin, [[maybe_unused]] size_t bytes) {
#if DROPFORGE_ASAN
    __asan_unpoison_memory_region(begin, bytes);
#endif
}

}  // namespace

void SharedMemory::Free::operator()(std::byte* p) const { std::free(p); }

std::byte* SharedMemory::array(const void* tag, const char* name, size_t bytes, Location where) {
    const auto found = std::ranges::find(arrays_, tag, &Array::tag);
    if (found != arrays_.end()) return found->memory.get() + kZone;
    const size_t all = (bytes + 3 * kZone - 1) / kZone * kZone;
    auto* memory = static_cast<std::byte*>(std::aligned_alloc(kZone, all));
    if (!memory) throw std::bad_alloc();
    arrays_.push_back({tag, name, bytes, where, std::unique_ptr<std::byte, Free>(memory)});
    bytes_ += bytes;
    std::memset(memory, static_cast<int>(kZoneByte), all);
    std::memset(memory + kZone, 0xff, bytes);
    close_zone(memory, kZone);
    close_zone(memory + kZone + bytes, kZone);
    return memory + kZone;
}

void SharedMemory::poison() {
    for (const Array& a : arrays_) std::memset(a.memory.get() + kZone, 0xff, a.bytes);
}

std::string SharedMemory::damage() const {
    for (const Array& a : arrays_) {
        const std::byte *begin = a.memory.get(), *end = begin + kZone + a.bytes;
        open_zone(begin, kZone);
        open_zone(end, kZone);
        const auto intact = [](const std::byte* zone) {
            return std::all_of(zone, zone + kZone, [](std::byte b) { return b == kZoneByte; });
        };
        const bool before = !intact(begin), after = !intact(end);
        close_zone(begin, kZone);
        close_zone(end, kZone);
        if (before || after)
            return fmt::format("write {} the shared array {} ({} bytes, {}:{})", before ? "before" : "past the end of",
                               a.name, a.bytes, a.where.file, a.where.line);
    }
    return {};
}

void SharedMemory::clear() {
    for (const Array& a : arrays_) {
        open_zone(a.memory.get(), kZone);
        open_zone(a.memory.get() + kZone + a.bytes, kZone);
    }
    arrays_.clear();
    bytes_ = 0;
}

}  // namespace dropforge::simt
