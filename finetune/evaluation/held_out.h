// A part of a training file that is kept from training, to choose by.
#pragma once

#include <cstdint>

#include "data/tasks/examples.h"

namespace dropforge {

struct HeldOut {
    tasks::ExampleFile training, held_out;  // both in the order of the file
};

/// Holds out every tenth example of a training file whose labels are indexed, as a function of the seed: the examples
/// are sorted by class where a text has one, at random within a class, so that both parts have the classes in the same
/// proportion. Answers to one question (MultiRC) stay together. Throws Error for a file that cannot be divided.
HeldOut hold_out(tasks::ExampleFile file, int64_t seed);

}  // namespace dropforge
