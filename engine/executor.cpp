#include "engine/executor.h"

#include <omp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace dropforge {

namespace {

constexpr size_t kHugePage = size_t{2} << 20;

/// Bytes that a Buffer takes from the system: whole pages, and whole huge pages where it is large enough for them to
/// matter.
size_t mapped_bytes(int64_t bytes) {
    const auto size = static_cast<size_t>(bytes);
    const size_t page = size >= 2 * kHugePage ? kHugePage : static_cast<size_t>(sysconf(_SC_PAGESIZE));
    return (size + page - 1) / page * page;
}

int64_t now_ns() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

}  // namespace

Buffer::Buffer(int64_t bytes) : bytes_(bytes) {
    require(bytes >= 0, "a buffer of {} bytes", bytes);
    if (bytes == 0) return;
    const size_t size = mapped_bytes(bytes);
    const bool huge = size >= 2 * kHugePage;
    const size_t reserved = huge ? size + kHugePage : size;  // some slack to begin at a huge page's border
    void* map = mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        throw Error("cannot get {} bytes ({:.2f} GB) of memory: {}", bytes, static_cast<double>(bytes) / 1e9,
                    std::strerror(errno));
    data_ = map;
    if (!huge) return;
    auto* start = static_cast<char*>(map);
    const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(map) % kHugePage) % kHugePage;
    if (before > 0) munmap(start, before);
    munmap(start + before + size, reserved - size - before);
    data_ = start + before;
    madvise(data_, size, MADV_HUGEPAGE);  // a wish: without huge pages it is only slower
}

Buffer::~Buffer() {
    if (data_ != nullptr) munmap(data_, mapped_bytes(bytes_));
}

Buffer::Buffer(Buffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
}

Executor::Executor(const Program& program, const MemoryPlan& plan, void* arena, const kernels::KernelTable& table,
                   kernels::Context& context)
    : program_(program),
      pointers_(program.storages().size()),
      run_(pointers_.data(), table, context),
      times_(program.ops().size()),
      epoch_ns_(now_ns()) {
    require(plan.slots.size() == pointers_.size(), "{}: a plan of {} slots for {} storages", program.name(),
            plan.slots.size(), pointers_.size());
    require(arena != nullptr || plan.bytes == 0, "{}: no arena for a plan of {} bytes", program.name(), plan.bytes);
    require(reinterpret_cast<uintptr_t>(arena) % kArenaAlignment == 0, "{}: the arena is not aligned to {} bytes",
            program.name(), kArenaAlignment);
    for (size_t i = 0; i < pointers_.size(); ++i)
        if (plan.slots[i].offset >= 0) pointers_[i] = static_cast<char*>(arena) + plan.slots[i].offset;
}

void Executor::bind(std::string_view name, void* pointer) {
    const auto storage = static_cast<size_t>(program_.find(name));
    require(program_.storages()[storage].owner == Owner::caller, "{}: {} lies in the arena and cannot be bound",
            program_.name(), name);
    require(pointer != nullptr || program_.storages()[storage].bytes == 0, "{}: {} bound to no memory", program_.name(),
            name);
    pointers_[storage] = pointer;
}

void Executor::check_bound() {
    for (const Op& op : program_.ops())
        for (const auto* list : {&op.reads, &op.writes})
            for (int32_t id : *list) {
                const Storage& storage = program_.storages()[static_cast<size_t>(id)];
                require(pointers_[static_cast<size_t>(id)] != nullptr || storage.bytes == 0,
                        "{}: {} was never bound; op {} uses it", program_.name(), storage.name, op.name);
            }
    checked_ = true;
}

void Executor::run() {
    if (!checked_) check_bound();
    require(omp_get_max_threads() <= program_.max_threads(), "{}: {} threads to run on, but its scratch is for {}",
            program_.name(), omp_get_max_threads(), program_.max_threads());
    if (!clocked_) {
        for (const Op& op : program_.ops()) op.run(run_);
        return;
    }
    const size_t count = program_.ops().size();
    const bool keep = keep_events_ && events_.capacity() - events_.size() >= count;
    int64_t start = now_ns();
    for (size_t i = 0; i < count; ++i) {
        program_.ops()[i].run(run_);
        const int64_t end = now_ns();
        const double seconds = static_cast<double>(end - start) * 1e-9;
        times_[i].seconds += seconds;
        ++times_[i].runs;
        if (keep) events_.push_back({static_cast<int32_t>(i), static_cast<double>(start - epoch_ns_) * 1e-9, seconds});
        start = end;
    }
}

void Executor::clock(bool on, bool events) {
    clocked_ = on;
    keep_events_ = on && events;
    if (keep_events_) events_.reserve(events_.size() + static_cast<size_t>(kEventRuns) * program_.ops().size());
}

}  // namespace dropforge
