#include "data/tasks/metrics/entities.h"

#include <algorithm>

namespace dropforge::tasks {

namespace {

bool is_inside(std::string_view tag) { return tag.starts_with("I-"); }
bool is_of_entity(std::string_view tag) { return is_inside(tag) || tag.starts_with("B-"); }

double share(int64_t part, int64_t all) { return all == 0 ? 0 : static_cast<double>(part) / static_cast<double>(all); }

}  // namespace

bool are_entity_labels(Tags labels) {
    return std::ranges::all_of(
        labels, [](const std::string& label) { return label == "O" || (is_of_entity(label) && label.size() > 2); });
}

std::vector<Entity> entities_of(Tags sentence) {
    std::vector<Entity> entities;
    bool open = false;  // the last entity reaches to the word before
    for (size_t i = 0; i < sentence.size(); ++i) {
        const std::string& tag = sentence[i];
        const std::string type = is_of_entity(tag) ? tag.substr(2) : "";
        if (open && is_inside(tag) && entities.back().type == type) {
            entities.back().end = i + 1;
            continue;
        }
        open = is_of_entity(tag);
        if (open) entities.push_back({i, i + 1, type});
    }
    return entities;
}

void EntityCounts::add(Tags gold_sentence, Tags predicted_sentence) {
    const std::vector<Entity> right = entities_of(gold_sentence), found = entities_of(predicted_sentence);
    gold += static_cast<int64_t>(right.size());
    predicted += static_cast<int64_t>(found.size());
    hits += std::ranges::count_if(
        found, [&](const Entity& entity) { return std::ranges::find(right, entity) != right.end(); });
}

double EntityCounts::precision() const { return share(hits, predicted); }
double EntityCounts::recall() const { return share(hits, gold); }
double EntityCounts::f1() const { return share(2 * hits, gold + predicted); }

}  // namespace dropforge::tasks
