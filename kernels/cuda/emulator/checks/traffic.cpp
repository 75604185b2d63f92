#include "kernels/cuda/emulator/checks/traffic.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/error.h"

namespace dropforge::simt {

namespace {

constexpr size_t kWarps = kMaxThreads / kWarp;

/// The bytes of a sector that a request touches.
struct SectorMask {
    uint64_t sector;
    uint32_t bytes;  // a bit each
};

}  // namespace

/// One direction of a buffer's traffic, with the state of each sector.
struct Direction {
    Traffic traffic;
    std::vector<uint32_t> touched;  // bytes, by sector
    std::vector<uint32_t> block;    // the block that touched the sector last

    void clear(size_t sectors) {
        traffic = {};
        touched.assign(sectors, 0);
        block.assign(sectors, 0);
    }
    void add(SectorMask mask, uint32_t now) {
        ++traffic.sectors;
        traffic.bytes += std::popcount(mask.bytes);
        if (std::exchange(block[mask.sector], now) != now) ++traffic.sectors_of_blocks;
        touched[mask.sector] |= mask.bytes;
    }
    const Traffic& total() {
        for (const uint32_t bytes : touched) {
            traffic.distinct_bytes += std::popcount(bytes);
            traffic.distinct_sectors += bytes != 0;
        }
        return traffic;
    }
};

struct TrafficCounter::Buffer {
    std::string name;
    uintptr_t begin;
    int64_t size;
    Direction read, written;

    size_t sectors() const { return static_cast<size_t>((size + kSector - 1) / kSector); }
};

struct TrafficCounter::Request {
    Buffer* buffer = nullptr;
    uint32_t lanes = 0;
    std::array<uintptr_t, kWarp> address;
    std::array<uint32_t, kWarp> bytes;
};

/// A reporting call of the kernel, with the requests since each warp last synchronised.
struct TrafficCounter::Call {
    AccessKind kind{};
    struct OfWarp {
        uint64_t meeting = 0;
        std::array<uint32_t, kWarp> accesses{};  // of each lane
        std::vector<Request> requests;           // the first accesses of the lanes, the second, …
    };
    std::array<OfWarp, kWarps> warps;
};

TrafficCounter::TrafficCounter() = default;
TrafficCounter::~TrafficCounter() = default;

void TrafficCounter::name(const std::string& name, const void* p, int64_t bytes) {
    const auto begin = reinterpret_cast<uintptr_t>(p);
    require(begin % kSector == 0, "buffer {} does not begin on a sector", name);
    buffers_.push_back(std::make_unique<Buffer>(Buffer{name, begin, bytes, {}, {}}));
}

void TrafficCounter::launch_begins(const LaunchShape& shape) {
    const size_t threads = size_t{shape.block.x} * shape.block.y * shape.block.z;
    last_.assign(threads, {});
    meetings_.assign((threads + kWarp - 1) / kWarp, 0);
    for (const auto& b : buffers_) {
        b->read.clear(b->sectors());
        b->written.clear(b->sectors());
    }
    calls_.clear();
    block_ = 0;
    where_ = shape.where;
}

void TrafficCounter::launch_ends() {
    count_all();
    LaunchTraffic launch{where_, {}};
    for (const auto& b : buffers_) {
        const BufferTraffic t{b->name, b->size, b->read.total(), b->written.total()};
        if (t.read.requests + t.written.requests > 0) launch.buffers.push_back(t);
    }
    launches_.push_back(std::move(launch));
}

void TrafficCounter::block_begins() {
    count_all();
    last_.assign(last_.size(), {});
    ++block_;
}

void TrafficCounter::barrier() {
    for (uint64_t& m : meetings_) ++m;
}

/// Our kernels have no operations of part of a warp, so a lane that does not take part has ended.
void TrafficCounter::warp_operation(size_t warp, uint32_t, WarpOperation) { ++meetings_[warp]; }

TrafficCounter::Buffer* TrafficCounter::find(uintptr_t address) {
    const auto has = [&](const Buffer& b) { return address - b.begin < static_cast<uint64_t>(b.size); };
    if (recent_ && has(*recent_)) return recent_;
    const auto found = std::ranges::find_if(buffers_, [&](const auto& b) { return has(*b); });
    return found == buffers_.end() ? nullptr : recent_ = found->get();
}

/// Whether this is the second half of a sector whose first half the lane has just requested.
bool TrafficCounter::continues(const Access& a, const Call& call) const {
    constexpr size_t kHalf = kSector / 2;
    const Last& last = last_[a.thread];
    return a.bytes == kHalf && a.address % kSector == kHalf && last.end == a.address && last.call &&
           last.call->kind == call.kind && last.call->warps[a.thread / kWarp].meeting == meetings_[a.thread / kWarp];
}

void TrafficCounter::access(const Access& a) {
    Buffer* buffer = find(a.address);
    if (!buffer) return;
    auto& call = calls_[a.site];
    if (!call) call = std::make_unique<Call>();
    call->kind = a.kind;
    const uint32_t warp = a.thread / kWarp, lane = a.thread % kWarp;
    Call::OfWarp& of_warp = call->warps[warp];
    if (of_warp.meeting != meetings_[warp]) {
        for (const Request& r : of_warp.requests) count(r, a.kind);
        of_warp = {meetings_[warp], {}, {}};
    }
    Last& last = last_[a.thread];
    if (continues(a, *call)) {
        last.call->warps[warp].requests[last.request].bytes[lane] += static_cast<uint32_t>(a.bytes);
        last.end += a.bytes;
        return;
    }
    const uint32_t nth = of_warp.accesses[lane]++;
    if (nth == of_warp.requests.size()) of_warp.requests.emplace_back();
    Request& request = of_warp.requests[nth];
    request.buffer = buffer;
    request.lanes |= 1u << lane;
    request.address[lane] = a.address;
    request.bytes[lane] = static_cast<uint32_t>(a.bytes);
    last = {call.get(), nth, a.address + a.bytes};
}

void TrafficCounter::count(const Request& r, AccessKind kind) {
    std::vector<SectorMask> masks;
    masks.reserve(2 * kWarp);
    for (size_t lane = 0; lane < kWarp; ++lane) {
        if ((r.lanes >> lane & 1) == 0) continue;
        const uint64_t begin = r.address[lane] - r.buffer->begin, end = begin + r.bytes[lane];
        for (uint64_t at = begin; at < end;) {
            const uint64_t first = at % kSector, bytes = std::min<uint64_t>(end - at, kSector - first);
            masks.push_back({at / kSector, static_cast<uint32_t>(((uint64_t{1} << bytes) - 1) << first)});
            at += bytes;
        }
    }
    std::ranges::sort(masks, {}, &SectorMask::sector);
    const auto add = [&](Direction& direction) {
        ++direction.traffic.requests;
        for (size_t i = 0; i < masks.size();) {
            SectorMask all = masks[i];
            for (++i; i < masks.size() && masks[i].sector == all.sector; ++i) all.bytes |= masks[i].bytes;
            direction.add(all, block_);
        }
    };
    if (kind != AccessKind::write) add(r.buffer->read);
    if (kind != AccessKind::read) add(r.buffer->written);
}

void TrafficCounter::count_all() {
    for (const auto& [site, call] : calls_)
        for (Call::OfWarp& w : call->warps) {
            for (const Request& r : w.requests) count(r, call->kind);
            w = {};
        }
}

}  // namespace dropforge::simt
