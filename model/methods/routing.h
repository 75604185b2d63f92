// Which tokens stay when tokens are dropped, and in which layers: the interface of a routing, and the list of all.
// docs/new-routing.md adds another one.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/network/builder.h"

namespace dropforge {

/// Value of a token id that is never dropped, and of one that is dropped first (Hou et al. 2022, section 3.2).
constexpr float kNeverDropped = 1e4f, kDroppedFirst = -1e4f;

/// The ids whose values are fixed: [UNK], [CLS], [SEP], [MASK] stay, [PAD] goes.
std::vector<kernels::FixedValue> fixed_values(const data::SpecialIds& special);

/// A way of choosing the tokens that stay. A Program is built from it once; what changes from step to step comes from
/// its inputs and from the table, f32 [V], which is part of the checkpoint.
class Routing {
  public:
    virtual ~Routing() = default;

    /// Value of each of V token ids when training starts; the fixed ids are set afterwards. `counts` [V]: how often
    /// each id is in the training data, empty unless wants_counts().
    virtual std::vector<float> table(int64_t vocabulary, std::span<const int64_t> counts) const = 0;
    virtual bool wants_counts() const { return false; }
    /// Whether the table takes in the MLM losses after each step.
    virtual bool learns() const { return false; }
    /// Adds what computes the value of every position, f32 [B,S]: of each sequence the largest stay. By default the
    /// table's entry for the position's token.
    virtual Tensor values(Builder& builder) const;
    /// How many tokens of a sequence each of L layers works on, 1 … sequence, never rising; the last layer, which sees
    /// all again, does not count. By default Hou et al. 2022: all in layers 0 … L/2-2, then `keep`.
    virtual std::vector<int64_t> rows(int64_t layers, int64_t sequence, int64_t keep) const;
};

/// What dropping.routing of a configuration may be.
std::vector<const char*> routing_names();
/// Throws Error if it is none of these.
std::unique_ptr<Routing> make_routing(const std::string& name);

}  // namespace dropforge
