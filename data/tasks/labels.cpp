#include "data/tasks/labels.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <span>
#include <unordered_map>

#include "base/error.h"

namespace dropforge::tasks {

namespace {

using Names = std::vector<std::string>;
using Places = std::unordered_map<std::string, int32_t>;

const Names kBoolean = {"0", "1"};
const Places kBooleanWords = {{"false", 0}, {"False", 0}, {"true", 1}, {"True", 1}};
constexpr size_t kMostDigits = 18;  // of a number that int64_t holds whatever its digits

std::string_view without_plus(std::string_view text) { return text.substr(text.starts_with('+') ? 1 : 0); }

bool is_whole_number(std::string_view text) {
    if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
    return !text.empty() && text.size() <= kMostDigits &&
           text.find_first_not_of("0123456789") == std::string_view::npos;
}

int64_t whole_number_of(std::string_view text) {
    text = without_plus(text);
    int64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

/// LABEL_n, as transformers calls labels that nobody named.
bool is_placeholder(const std::string& label) {
    static constexpr std::string_view kPrefix = "LABEL_";
    return label.starts_with(kPrefix) && is_whole_number(std::string_view(label).substr(kPrefix.size()));
}

double number_of(std::string_view text, const std::string& where) {
    const std::string_view digits = without_plus(text);
    double value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    require(error == std::errc() && end == digits.data() + digits.size() && std::isfinite(value),
            "{}: the label is \"{}\", expected a number", where, text);
    return value;
}

/// More names than these are not listed in a message.
std::string listed(const Names& labels) {
    constexpr size_t kMost = 20;
    const std::span<const std::string> first(labels.data(), std::min(kMost, labels.size()));
    return fmt::format("{}{}", fmt::join(first, ", "), labels.size() > kMost ? ", …" : "");
}

Places places_of(const Names& labels) {
    Places places;
    for (size_t i = 0; i < labels.size(); ++i) places[labels[i]] = static_cast<int32_t>(i);
    if (labels == kBoolean) places.insert(kBooleanWords.begin(), kBooleanWords.end());
    return places;
}

/// Whether they are 0 or 1 and words for these: one file may have numbers where another has words.
bool are_mixed_booleans(const Names& labels) {
    const auto numbers = std::ranges::count_if(
        labels, [](const std::string& label) { return std::ranges::find(kBoolean, label) != kBoolean.end(); });
    const auto words =
        std::ranges::count_if(labels, [](const std::string& label) { return kBooleanWords.contains(label); });
    return numbers > 0 && words > 0 && numbers + words == std::ssize(labels);
}

int32_t choice_of(const Example& example, const std::string& where) {
    const std::string& label = example.labels[0];
    for (size_t i = 0; i < example.choices.size(); ++i)
        if (label == std::to_string(i)) return static_cast<int32_t>(i);
    throw Error("{}: unknown label {}; expected 0 … {}", where, label, example.choices.size() - 1);
}

}  // namespace

bool has_own_labels(const Task& task) {
    return task.labels.empty() && (task.kind == Kind::single || task.kind == Kind::pair || task.kind == Kind::token);
}

Names labels_in(std::initializer_list<const ExampleFile*> files) {
    std::set<std::string> distinct;  // sorted by bytes
    for (const ExampleFile* file : files)
        for (const Example& example : file->examples) distinct.insert(example.labels.begin(), example.labels.end());
    Names labels(distinct.begin(), distinct.end());
    if (are_mixed_booleans(labels)) return kBoolean;
    if (std::ranges::all_of(labels, is_whole_number)) std::ranges::stable_sort(labels, {}, whole_number_of);
    return labels;
}

Names given_labels(const Task& task, const Names& given) {
    require(has_own_labels(task), "--labels: {}",
            task.labels.empty() ? fmt::format("{} has none", task.name)
                                : fmt::format("those of {} are {}", task.name, listed(task.labels)));
    const std::set<std::string> distinct(given.begin(), given.end());
    require(distinct.size() == given.size() && !distinct.contains(""), "--labels {}: expected different names",
            fmt::join(given, ","));
    return given;
}

Names choose_labels(const Task& task, const Names& given, const Names& of_checkpoint, const ExampleFile* training) {
    if (!given.empty()) return given_labels(task, given);
    if (!has_own_labels(task)) return task.labels;
    if (training == nullptr) {
        require(!of_checkpoint.empty(), "the checkpoint names no labels: --labels A,B,… does");
        return of_checkpoint;
    }
    const Names found = labels_in({training});
    const bool has_names = !std::ranges::all_of(of_checkpoint, is_placeholder);
    const bool has_all = std::ranges::all_of(found, [&](const std::string& label) {
        return std::ranges::find(of_checkpoint, label) != of_checkpoint.end();
    });
    return has_names && has_all ? of_checkpoint : found;
}

void index_labels(const Task& task, const Names& labels, ExampleFile& file) {
    if (task.kind == Kind::span) return;
    const Places places = places_of(labels);
    for (Example& example : file.examples) {
        if (task.kind == Kind::regression) {
            example.value = number_of(example.labels[0], file.where(example));
            continue;
        }
        example.classes.clear();
        if (task.kind == Kind::choice) {
            example.classes.push_back(choice_of(example, file.where(example)));
            continue;
        }
        for (size_t i = 0; i < example.labels.size(); ++i) {
            const auto place = places.find(example.labels[i]);
            if (place == places.end())  // not require(), which would list them for every label
                throw Error("{}: unknown label {}; expected one of {}", file.where(example, i), example.labels[i],
                            listed(labels));
            example.classes.push_back(place->second);
        }
    }
}

}  // namespace dropforge::tasks
