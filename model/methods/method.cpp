#include "model/methods/method.h"

#include <algorithm>

#include "base/error.h"
#include "model/network/bert.h"
#include "model/network/names.h"

namespace dropforge {

NamedNumbers::NamedNumbers(std::initializer_list<std::pair<std::string_view, double>> items) {
    for (const auto& [name, value] : items) (*this)[name] = value;
}

const NamedNumbers::Item* NamedNumbers::find(std::string_view name) const {
    const Item* found = std::find_if(begin(), end(), [&](const Item& item) { return item.first == name; });
    return found == end() ? nullptr : found;
}

double NamedNumbers::operator[](std::string_view name) const {
    const Item* item = find(name);
    return item == nullptr ? 0 : item->second;
}

double& NamedNumbers::operator[](std::string_view name) {
    if (const Item* item = find(name)) return items_[static_cast<size_t>(item - begin())].second;
    require(size_ < kMost, "{}: more than {} names", name, kMost);
    items_[size_].first = name;
    return items_[size_++].second;
}

StepKind Method::kind(int64_t) const { return StepKind::dense; }

int64_t Method::count(StepKind kind) const { return kind == StepKind::dense ? shape_.steps : 0; }

Program Method::program(StepKind kind, const Parameters& parameters, const BuildOptions& options) const {
    require(kind == StepKind::dense, "{}: there is no step of kind {}", name(), static_cast<uint32_t>(kind));
    return dense_step(parameters, options);
}

Program Method::evaluation_program(const Parameters& parameters, const BuildOptions& options) const {
    return evaluation(parameters, options);
}

NamedNumbers Method::inputs(const StepInfo& info) const {
    NamedNumbers inputs;
    for (const LossHeadPointer& head : info.heads) inputs[head->names().scale] = 1 / info.count(head->rows());
    return inputs;
}

std::vector<StepResultSource> Method::sources(std::span<const LossHeadPointer> heads) const {
    std::vector<StepResultSource> sources;
    for (const LossHeadPointer& head : heads) {
        const LossHead::Names& n = head->names();
        const char* totals = n.totals_of(PassName::main);
        sources.insert(sources.end(),
                       {{n.loss_of(PassName::main), totals, 0}, {n.count, totals, 1}, {n.correct, totals, 2}});
    }
    return sources;
}

double Method::mean_losses(const StepInfo& info, const NamedNumbers& results, PassName pass) {
    double sum = 0;
    for (const LossHeadPointer& head : info.heads)
        sum += results[head->names().loss_of(pass)] / info.count(head->rows());
    return sum;
}

double Method::loss(const StepInfo& info, NamedNumbers& results) const {
    return mean_losses(info, results, PassName::main);
}

void Method::add_up(const StepInfo& info, const NamedNumbers& results, NamedNumbers& interval) const {
    interval["loss"] += results["mlm_loss"];
    interval["count"] += results["mlm_count"];
    interval["correct"] += results["mlm_correct"];
    interval["steps"] += 1;
    if (const auto share = kept_share(info.kind)) interval["kept"] += *share;
    for (const LossHeadPointer& head : info.heads) {
        const LossHead::Names& n = head->names();
        if (head == mlm_head()) continue;
        for (const char* name : {n.loss_of(PassName::main), n.count, n.correct}) interval[name] += results[name];
    }
}

NamedNumbers Method::metrics(int64_t, const NamedNumbers& interval) const {
    NamedNumbers m;
    for (const LossHeadPointer& head : pretraining_losses(true)) {
        const LossHead::Names& n = head->names();
        if (!interval.has(n.count)) continue;
        m[n.loss_of(PassName::main)] = interval[n.loss_of(PassName::main)] / interval[n.count];
        m[n.accuracy] = interval[n.correct] / interval[n.count];
    }
    if (interval.has("kept") && kept_share(StepKind::dense)) m["kept_fraction"] = interval["kept"] / interval["steps"];
    return m;
}

std::vector<float> Method::initial_state(std::string_view name, const TokenCounts&) const {
    throw Error("{}: there is no state {}", this->name(), name);
}

}  // namespace dropforge
