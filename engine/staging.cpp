#include "engine/staging.h"

#include <set>
#include <utility>

#include "base/error.h"

namespace dropforge {

namespace {

std::set<int32_t> written_storages(const Program& program) {
    std::set<int32_t> written;
    for (const Op& op : program.ops()) written.insert(op.writes.begin(), op.writes.end());
    return written;
}

int64_t aligned(int64_t bytes) { return (bytes + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment; }

}  // namespace

Staging::Staging(kernels::Context& context, const std::vector<const Program*>& programs,
                 const std::function<bool(std::string_view)>& selected, int64_t runs)
    : context_(context) {
    for (const Program* program : programs) {
        const std::set<int32_t> written = written_storages(*program);
        const std::vector<Storage>& storages = program->storages();
        for (size_t i = 0; i < storages.size(); ++i) {
            const Storage& s = storages[i];
            if (s.owner != Owner::caller || !selected(s.name)) continue;
            const Place first{.program = program->name(), .dtype = s.dtype, .shape = s.shape, .bytes = s.bytes};
            Place& place = places_.try_emplace(s.name, first).first->second;
            require(place.dtype == s.dtype && place.shape == s.shape, "{}: {} is {} {}, in {} {} {}", program->name(),
                    s.name, name_of(s.dtype), s.shape.text(), place.program, name_of(place.dtype), place.shape.text());
            place.output |= written.contains(static_cast<int32_t>(i));
        }
    }
    int64_t inputs = 0, outputs = 0;
    for (auto& [name, place] : places_) {
        int64_t& end = place.output ? outputs : inputs;
        place.offset = end;
        end += aligned(place.bytes);
    }
    inputs_ = Buffer(inputs, context);
    outputs_ = Buffer(outputs, context);
    for (int64_t i = 0; i < runs; ++i) slots_.push_back({{inputs, context}, {outputs, context}});
}

void Staging::require_given(const Program& program, const std::set<std::string_view>& given) const {
    for (const auto& [name, place] : places_)
        require(place.output || !program.has(name) || given.contains(name), "{}: the input {} is never set",
                program.name(), name);
}

void Staging::bind(Executor& executor) const {
    for (const auto& [name, place] : places_)
        if (executor.program().has(name))
            executor.bind(name, (place.output ? outputs_ : inputs_).as<char>() + place.offset);
}

const Staging::Place& Staging::find(std::string_view name) const {
    const auto found = places_.find(name);
    require(found != places_.end(), "no program has an input or output {}", name);
    return found->second;
}

void Staging::require_bytes(std::string_view name, size_t bytes) const {
    const Place& place = find(name);
    require(std::cmp_equal(place.bytes, bytes), "{}: {} bytes given, {} expected", name, bytes, place.bytes);
}

void Staging::begin() {
    current_ = (current_ + 1) % static_cast<int64_t>(slots_.size());
    finish();
}

void Staging::run(Executor& executor) {
    Slot& s = slots_[static_cast<size_t>(current_)];
    if (inputs_.bytes() > 0) context_.feed(inputs_.as<>(), s.inputs.as<>(), inputs_.bytes());
    executor.run();
    if (outputs_.bytes() > 0) context_.download(s.outputs.as<>(), outputs_.as<>(), outputs_.bytes());
    s.mark = context_.mark();
}

}  // namespace dropforge
