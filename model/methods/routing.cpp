#include "model/methods/routing.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "base/error.h"
#include "model/network/names.h"
#include "model/ops/dropping_ops.h"

namespace dropforge {

namespace {

/// Value before any loss is known: higher than a loss, so that every id is looked at soon (Hou et al. 2022,
/// section 3.2; tensorflow/models).
constexpr float kUnknown = 10;

Tensor table_values(Builder& builder, Tensor noise) {
    const Tensor table = builder.input(names::kImportance, DType::f32, {builder.config.vocabulary});
    const Tensor values = builder.program.planned("routing/values", DType::f32, builder.input_ids.shape);
    ops::token_values(builder.program, "routing/values", builder.input_ids, table, noise, kRoutingDraw, values);
    return values;
}

/// Hou et al. 2022: tokens whose ids were hard to predict stay.
class ImportanceRouting final : public Routing {
    std::vector<float> table(int64_t vocabulary, std::span<const int64_t>) const override {
        return std::vector<float>(static_cast<size_t>(vocabulary), kUnknown);
    }
    bool learns() const override { return true; }
};

/// The baseline of Hou et al. 2022, section 4: tokens stay by chance, drawn anew for every step and sequence.
class RandomRouting final : public Routing {
    std::vector<float> table(int64_t vocabulary, std::span<const int64_t>) const override {
        return std::vector<float>(static_cast<size_t>(vocabulary));
    }
    Tensor values(Builder& builder) const override { return table_values(builder, builder.dropout_state); }
};

/// Tokens with rare ids stay: a value is an id's information in bits, by its count in the training data plus one.
class FrequencyRouting final : public Routing {
    std::vector<float> table(int64_t vocabulary, std::span<const int64_t> counts) const override {
        require(static_cast<int64_t>(counts.size()) == vocabulary, "frequency routing: {} counts for {} token ids",
                counts.size(), vocabulary);
        double total = 0;
        for (const int64_t n : counts) total += static_cast<double>(n + 1);
        std::vector<float> bits(counts.size());
        std::ranges::transform(counts, bits.begin(), [&](int64_t n) {
            return static_cast<float>(std::log2(total / static_cast<double>(n + 1)));
        });
        return bits;
    }
    bool wants_counts() const override { return true; }
};

template <typename T>
std::unique_ptr<Routing> make() {
    return std::make_unique<T>();
}

struct NamedRouting {
    const char* name;
    std::unique_ptr<Routing> (*make)();
};

/// Every routing that a configuration may ask for; a new one is one line more.
constexpr NamedRouting kRoutings[] = {
    {"importance", make<ImportanceRouting>},
    {"random", make<RandomRouting>},
    {"frequency", make<FrequencyRouting>},
};

}  // namespace

std::vector<kernels::FixedValue> fixed_values(const data::SpecialIds& s) {
    return {{.id = s.unk, .value = kNeverDropped},
            {.id = s.cls, .value = kNeverDropped},
            {.id = s.sep, .value = kNeverDropped},
            {.id = s.mask, .value = kNeverDropped},
            {.id = s.pad, .value = kDroppedFirst}};
}

Tensor Routing::values(Builder& builder) const { return table_values(builder, {}); }

std::vector<int64_t> Routing::rows(int64_t layers, int64_t sequence, int64_t keep) const {
    std::vector<int64_t> rows(static_cast<size_t>(layers), keep);
    std::fill_n(rows.begin(), layers / 2 - 1, sequence);
    return rows;
}

std::vector<const char*> routing_names() {
    std::vector<const char*> names;
    for (const NamedRouting& r : kRoutings) names.push_back(r.name);
    return names;
}

std::unique_ptr<Routing> make_routing(const std::string& name) {
    const auto* found = std::ranges::find(kRoutings, name, &NamedRouting::name);
    require(found != std::end(kRoutings), "there is no routing \"{}\"; there are {}", name,
            fmt::join(routing_names(), ", "));
    return found->make();
}

}  // namespace dropforge
