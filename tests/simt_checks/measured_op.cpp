#include "tests/simt_checks/measured_op.h"

#include <algorithm>

#include "base/philox.h"

namespace dropforge {

void MeasuredOps::give_memory() {
    for (size_t i = pointers_.size(); i < program.storages().size(); ++i) {
        const Storage& s = program.storages()[i];
        buffers_.emplace_back(s.bytes, *context_);
        pointers_.push_back(buffers_.back().as());
        counter_.name(s.name, pointers_.back(), s.bytes);
    }
}

Tensor MeasuredOps::tensor(const std::string& name, DType dtype, const Shape& shape,
                           const std::function<double(int64_t)>& value) {
    const Tensor t = program.bound(name, dtype, shape);
    give_memory();
    for (int64_t i = 0; i < shape.size(); ++i) {
        if (dtype == DType::f32)
            static_cast<float*>(memory(t))[i] = static_cast<float>(value(i));
        else if (dtype == DType::bf16)
            static_cast<bf16*>(memory(t))[i] = bf16(static_cast<float>(value(i)));
        else
            static_cast<int32_t*>(memory(t))[i] = static_cast<int32_t>(value(i));
    }
    return t;
}

Tensor MeasuredOps::random(const std::string& name, DType dtype, const Shape& shape) {
    PhiloxStream stream(program.storages().size(), 0);
    return tensor(name, dtype, shape, [&](int64_t) { return 4 * stream.uniform() - 2; });
}

Tensor MeasuredOps::zeros(const std::string& name, DType dtype, const Shape& shape) {
    return tensor(name, dtype, shape, [](int64_t) { return 0.0; });
}

Measured MeasuredOps::run_next() {
    give_memory();  // scratch of the ops
    const simt::ScopedObserver scope(counter_);
    const Op& op = next();
    op.run(Run(pointers_.data(), kernels::cuda(), *context_));
    context_->synchronize();
    ++runs_;
    return add_up(op, counter_.take_launches());
}

double MeasuredOps::needed_bytes(const Op& op) const {
    int64_t bytes = 0;
    const auto add = [&](int32_t storage) {
        const auto known = needed_.find(storage);
        bytes += known != needed_.end() ? known->second : program.storages()[static_cast<size_t>(storage)].bytes;
    };
    std::ranges::for_each(op.reads, add);
    std::ranges::for_each(op.writes, add);
    return static_cast<double>(bytes);
}

namespace {

/// What requests asked for, of what they got.
struct SectorUse {
    int64_t bytes = 0, sectors = 0;

    void add(const simt::BufferTraffic& b) {
        bytes += b.read.bytes + b.written.bytes;
        sectors += b.read.sectors + b.written.sectors;
    }
    double share() const {
        return sectors > 0 ? static_cast<double>(bytes) / static_cast<double>(sectors * simt::kSector) : 1;
    }
};

}  // namespace

Measured MeasuredOps::add_up(const Op& op, const std::vector<simt::LaunchTraffic>& launches) const {
    struct Once {
        int64_t read = 0, written = 0;  // sectors
    };
    std::map<std::string, Once> cached;
    SectorUse large, all;
    int64_t moved = 0;  // sectors
    for (const simt::LaunchTraffic& launch : launches) {
        for (const simt::BufferTraffic& b : launch.buffers) {
            all.add(b);
            if (b.size > kStaysInCache) {
                large.add(b);
                moved += b.read.sectors_of_blocks + b.written.sectors_of_blocks;
            } else {
                Once& c = cached[b.name];
                c.read = std::max(c.read, b.read.distinct_sectors);
                c.written = std::max(c.written, b.written.distinct_sectors);
            }
        }
    }
    for (const auto& [name, once] : cached) {
        const bool scratch = program.storages()[static_cast<size_t>(program.find(name))].scratch;
        moved += once.written + (scratch ? 0 : once.read);
    }
    return {static_cast<double>(moved * simt::kSector), needed_bytes(op), large.share(), all.share()};
}

}  // namespace dropforge
