#include "engine/program.h"

#include <omp.h>

#include <algorithm>

#include "base/error.h"

namespace dropforge {

namespace {

void add_once(std::vector<int32_t>& list, int32_t storage) {
    if (std::find(list.begin(), list.end(), storage) == list.end()) list.push_back(storage);
}

}  // namespace

Tensor Program::add_storage(const std::string& name, DType dtype, const Shape& shape, Owner owner, bool scratch) {
    const std::string full = owner == Owner::plan ? prefix_ + name : name;
    Tensor tensor{static_cast<int32_t>(storages_.size()), dtype, 0, shape};
    require(by_name_.emplace(full, tensor.storage).second, "{}: a second tensor named {}", name_, full);
    storages_.push_back(
        {.name = full, .dtype = dtype, .shape = shape, .bytes = tensor.bytes(), .owner = owner, .scratch = scratch});
    written_.push_back(false);
    return tensor;
}

Tensor Program::bound(const std::string& name, DType dtype, const Shape& shape, Content content) {
    const Tensor tensor = add_storage(name, dtype, shape, Owner::caller);
    written_.back() = content == Content::given;
    return tensor;
}

Tensor Program::planned(const std::string& name, DType dtype, const Shape& shape) {
    return add_storage(name, dtype, shape, Owner::plan);
}

Tensor Program::scratch(const std::string& name, int64_t bytes) {
    if (bytes == 0) return {};
    max_threads_ = std::min(max_threads_, omp_get_max_threads());
    return add_storage(name, DType::i32, {(bytes + 3) / 4}, Owner::plan, true);
}

void Program::add(std::string name, const Access& access, std::function<void(const Run&)> run) {
    Op op{prefix_ + std::move(name), {}, {}, {}, access.flops, 0, access.work, std::move(run)};
    for (const Tensor& t : access.reads) {
        if (!t) continue;
        require(written_[static_cast<size_t>(t.storage)], "{}: {} reads {} before anything has written it", name_,
                op.name, storages_[static_cast<size_t>(t.storage)].name);
        add_once(op.reads, t.storage);
        op.bytes += static_cast<double>(t.bytes());
    }
    for (const Tensor& t : access.writes) {
        if (!t) continue;
        written_[static_cast<size_t>(t.storage)] = true;
        add_once(op.writes, t.storage);
        if (!storages_[static_cast<size_t>(t.storage)].scratch) op.bytes += static_cast<double>(t.bytes());
    }
    for (const auto& [output, input] : access.inplace)  // storages begin together: views must, too
        if (output.offset == input.offset) op.inplace.emplace_back(output.storage, input.storage);
    ops_.push_back(std::move(op));
}

int32_t Program::find(std::string_view name) const {
    const auto found = by_name_.find(name);
    require(found != by_name_.end(), "{}: no tensor named {}", name_, name);
    return found->second;
}

double Program::flops() const {
    double sum = 0;
    for (const Op& op : ops_) sum += op.flops;
    return sum;
}

Program::Scope::Scope(Program& program, const std::string& name) : program_(program), length_(program.prefix_.size()) {
    program_.prefix_ += name + "/";
}

Program::Scope::~Scope() { program_.prefix_.resize(length_); }

}  // namespace dropforge
