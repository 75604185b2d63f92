// What the tests of training steps share: a small model, random batches, the gradients of one backward pass, and how
// far two of them may be apart.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "base/philox.h"
#include "model/methods/sctd.h"
#include "model/network/names.h"
#include "model/training/bindings.h"
#include "model/training/training_step.h"

namespace dropforge::test {

constexpr data::SpecialIds kSpecial{.pad = 0, .unk = 1, .cls = 2, .sep = 3, .mask = 4};

inline BertConfig small_config(float dropout, int64_t layers = 2) {
    BertConfig c;
    c.vocabulary = 203;
    c.hidden = 48;
    c.layers = layers;
    c.heads = 3;
    c.intermediate = 96;
    c.max_positions = 40;
    c.hidden_dropout = c.attention_dropout = dropout;
    c.special = kSpecial;
    return c;
}

/// Optional arrays of a batch.
struct BatchParts {
    bool lengths = false, types = false, next_sentence = false;
};

/// Sequences with 1 … masked used slots each: [CLS], then any ids, so that some come up often. With lengths these are
/// `length`, a quarter less, half of it, and again.
inline data::Batch random_batch(const BertConfig& c, int64_t sequences, int64_t length, int64_t masked,
                                const BatchParts& parts = {}) {
    data::Batch b{.sequences = sequences, .length = length, .masked = masked};
    PhiloxStream random(7, 0);
    const auto below = [&](int64_t n) { return static_cast<int32_t>(random.below(static_cast<uint32_t>(n))); };
    for (int64_t s = 0; s < sequences; ++s) {
        const int64_t real = parts.lengths ? length - s % 3 * (length / 4) : length;
        for (int64_t i = 0; i < length; ++i)
            b.input_ids.push_back(i == 0 ? kSpecial.cls : i < real ? below(c.vocabulary) : kSpecial.pad);
        for (int64_t m = 0; m < masked; ++m) {
            b.masked_positions.push_back(static_cast<int32_t>(1 + m * (real - 1) / masked));
            b.masked_labels.push_back(below(c.vocabulary));
            b.masked_weights.push_back(m <= s % masked ? 1.0f : 0.0f);
        }
        if (parts.lengths) b.lengths.push_back(static_cast<int32_t>(real));
        if (parts.next_sentence) b.next_sentence_labels.push_back(below(2));
    }
    for (int64_t i = 0; parts.types && i < sequences * length; ++i) b.token_type_ids.push_back(below(2));
    return b;
}

/// The same batch with its sequences in reverse order: the same gradients in exact arithmetic, so that what differs is
/// f32 rounding.
inline data::Batch reversed(const data::Batch& b) {
    data::Batch r = b;
    const auto reverse = [&](auto& to, const auto& from, int64_t n) {
        if (from.empty()) return;
        for (int64_t s = 0; s < b.sequences; ++s)
            std::copy_n(from.data() + (b.sequences - 1 - s) * n, n, to.data() + s * n);
    };
    reverse(r.input_ids, b.input_ids, b.length);
    reverse(r.token_type_ids, b.token_type_ids, b.length);
    reverse(r.lengths, b.lengths, 1);
    reverse(r.masked_positions, b.masked_positions, b.masked);
    reverse(r.masked_labels, b.masked_labels, b.masked);
    reverse(r.masked_weights, b.masked_weights, b.masked);
    reverse(r.next_sentence_labels, b.next_sentence_labels, 1);
    return r;
}

inline StepOptions options_for(const data::Batch& b, int64_t micro_batch, DType dtype = DType::f32) {
    return {.batch = b.sequences,
            .micro_batch = micro_batch,
            .sequence = b.length,
            .masked = b.masked,
            .types = !b.token_type_ids.empty(),
            .lengths = !b.lengths.empty(),
            .heads = heads_of(b),
            .dtype = dtype,
            .seed = 3};
}

/// The same for ScTD of that model, with steps of all its kinds.
inline StepOptions dropping_options_for(const BertConfig& c, const data::Batch& b, int64_t micro_batch, int64_t keep,
                                        DType dtype = DType::f32, const DroppingOptions& dropping = {},
                                        const SctdOptions& sctd = {}, std::shared_ptr<const Routing> routing = {}) {
    StepOptions o = options_for(b, micro_batch, dtype);
    DroppingOptions kept = dropping;
    kept.keep = {static_cast<double>(keep), false};
    o.method = std::make_shared<Sctd>(RunShape{c, b.length, 1000}, kept, sctd, std::move(routing));
    o.kinds = {StepKind::dense, kDroppingStep, kAlignStep};
    return o;
}

/// The importance table of a step whose method has one, else empty.
inline std::span<float> importance_of(TrainingStep& step) {
    return step.programs().options.method->states().empty() ? std::span<float>() : step.state(names::kImportance);
}

/// Heads for such batches.
inline Heads heads_for(const data::Batch& b) { return Heads(heads_of(b)); }

/// Values of few different kinds, so that many are equal; the special ids' are fixed.
inline void fill_importance(std::span<float> table, uint64_t seed) {
    PhiloxStream random(seed, 5);
    for (float& value : table) value = 0.5f * static_cast<float>(random.below(9));
    if (table.empty()) return;
    for (const kernels::FixedValue& f : fixed_values(kSpecial)) table[static_cast<size_t>(f.id)] = f.value;
}

/// A step ready to run: weights drawn from seed 1, an importance table with ties.
struct ReadyStep : TrainingStep {
    ReadyStep(const Parameters& parameters, const StepOptions& options)
        : TrainingStep(parameters, StepPrograms(parameters, options), kernels::cpu()) {
        parameters.initialize(values(), 1);
        fill_importance(importance_of(*this), 1);
        store_states();
    }
};

/// What one backward pass gives.
struct Backward {
    StepResult result;
    std::vector<float> gradients;
};

inline Backward backward(const Parameters& parameters, const StepOptions& options, const data::Batch& batch,
                         StepKind kind = StepKind::dense) {
    ReadyStep step(parameters, options);
    const StepResult result = step.backward(batch, 5, kind);
    return {result, {step.gradients(), step.gradients() + parameters.size()}};
}

/// ‖a − b‖ / ‖b‖ of one tensor; 0 where both are 0.
inline double difference(const HfTensor& t, const std::vector<float>& a, const std::vector<float>& b) {
    double d = 0, n = 0;
    for (int64_t i = t.offset; i < t.offset + t.shape.size(); ++i) {
        const auto j = static_cast<size_t>(i);
        d += (double{a[j]} - b[j]) * (double{a[j]} - b[j]);
        n += double{b[j]} * b[j];
    }
    return d == 0 ? 0 : std::sqrt(d / n);
}

/// Two results that differ by f32 rounding alone.
struct Rounding {
    const std::vector<float>&a, &b;
};

/// Checks that gradients are equal to f32 rounding. `shown`: gradients of such a step, and the same with a sum in
/// another order; `sums` partial sums stored to memory add as many roundings again.
inline void check_same(const Parameters& parameters, const std::vector<float>& got, const std::vector<float>& want,
                       const Rounding& shown, double sums) {
    for (const HfTensor& t : parameters.tensors()) {
        if (t.name.ends_with("key.bias")) continue;  // 0 in exact arithmetic: all rounding
        CAPTURE(t.name);
        const double error = difference(t, got, want), limit = 8 * difference(t, shown.a, shown.b) + sums * 0x1p-24;
        const bool same = error <= limit;
        CHECK_MESSAGE(same, error << " > " << limit);
    }
}

/// Positions of one sequence that stay: the first by real before padding, larger value, lower position; ascending.
inline std::vector<int32_t> sorted_choice(const std::vector<float>& values, int64_t length, int64_t keep) {
    std::vector<int32_t> order(values.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, [&](int32_t a, int32_t b) {
        if ((a < length) != (b < length)) return a < length;
        return values[static_cast<size_t>(a)] > values[static_cast<size_t>(b)];
    });
    order.resize(static_cast<size_t>(keep));
    std::ranges::sort(order);
    return order;
}

/// The table's values of a sequence's tokens.
inline std::vector<float> values_of(std::span<const float> table, const data::Batch& batch, int64_t sequence) {
    std::vector<float> values;
    for (int64_t i = sequence * batch.length; i < (sequence + 1) * batch.length; ++i)
        values.push_back(table[static_cast<size_t>(batch.input_ids[static_cast<size_t>(i)])]);
    return values;
}

}  // namespace dropforge::test
