#include "model/network/head.h"

#include <algorithm>

namespace dropforge {

namespace {

bool has_loss(const HeadPointer& head) { return dynamic_cast<const LossHead*>(head.get()) != nullptr; }

}  // namespace

std::span<const HeadPointer> all_heads() {
    static const std::array<HeadPointer, 3> all = {mlm_head(), pooler(), nsp_head()};
    return all;
}

LossHeads pretraining_losses(bool pairs) {
    LossHeads losses = {mlm_head()};
    if (pairs) losses.push_back(nsp_head());
    return losses;
}

const Head* head_of_tensor(std::string_view hf_name) {
    const auto found =
        std::ranges::find_if(all_heads(), [&](const HeadPointer& h) { return hf_name.starts_with(h->hf_prefix()); });
    return found == all_heads().end() ? nullptr : found->get();
}

Heads::Heads(std::initializer_list<HeadPointer> heads) {
    for (const HeadPointer& head : heads) add(head);
}

Heads::Heads(const LossHeads& losses) {
    for (const LossHeadPointer& head : losses) add(head);
}

void Heads::add(const HeadPointer& head) {
    if (head->base()) add(head->base());
    if (has(head)) return;
    const auto place = has_loss(head) ? heads_.end() : std::ranges::find_if(heads_, has_loss);
    heads_.insert(place, head);
}

bool Heads::has(const HeadPointer& head) const { return std::ranges::count(heads_, head) > 0; }

bool Heads::any_loss() const { return std::ranges::any_of(heads_, has_loss); }

const char* Heads::architecture() const {
    if (has(mlm_head()) && has(nsp_head())) return "BertForPreTraining";
    return heads_.empty() ? "BertModel" : heads_.back()->architecture();
}

}  // namespace dropforge
