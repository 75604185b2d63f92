// The labels of a task, and the places that examples' labels have among them.
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "data/tasks/examples.h"

namespace dropforge::tasks {

/// Whether a task's labels are its user's own: those of single, pair and token.
bool has_own_labels(const Task& task);

/// The distinct labels of files: sorted as numbers if all are whole numbers of at most 18 digits, otherwise by bytes.
/// 0 and 1 where some are these and all others words for them (index_labels).
std::vector<std::string> labels_in(std::initializer_list<const ExampleFile*> files);

/// The labels that a user gives, checked. Throws Error if the task has labels of its own or none, for an empty label
/// and for one that is there twice.
std::vector<std::string> given_labels(const Task& task, const std::vector<std::string>& given);

/// The labels to train or evaluate with, in the order of the logits: the task's own, none where its kind has none, or
/// those that its user gives (given_labels). Otherwise those of the checkpoint's id2label, if not all are LABEL_n and
/// the training file has no other; without a training file (null), in any case. Otherwise those of the training file.
std::vector<std::string> choose_labels(const Task& task, const std::vector<std::string>& given,
                                       const std::vector<std::string>& of_checkpoint, const ExampleFile* training);

/// Sets `classes` (regression: `value`) of every example from the labels as text. Where the labels are 0 and 1, true
/// and false mean them too. Throws Error with the place of a label that is not in the list, or is no number.
void index_labels(const Task& task, const std::vector<std::string>& labels, ExampleFile& file);

}  // namespace dropforge::tasks
