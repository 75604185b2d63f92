// Entities in sentences of tagged words, as conlleval counts them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace dropforge::tasks {

using Tags = std::span<const std::string>;

struct Entity {
    size_t begin, end;  // words [begin, end) of its sentence
    std::string type;

    friend bool operator==(const Entity&, const Entity&) = default;
};

/// Whether all are O, B-x or I-x.
bool are_entity_labels(Tags labels);

/// The entities of one sentence, in its order: B-x begins one, and I-x too unless the word before is B-x or I-x of the
/// same type.
std::vector<Entity> entities_of(Tags sentence);

struct EntityCounts {
    int64_t gold = 0, predicted = 0, hits = 0;  // a hit has the same type, begin and end

    void add(Tags gold_sentence, Tags predicted_sentence);
    /// 0 for 0/0, all three.
    double precision() const;
    double recall() const;
    double f1() const;
};

}  // namespace dropforge::tasks
