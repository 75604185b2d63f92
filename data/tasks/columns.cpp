#include "data/tasks/columns.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "base/error.h"

namespace dropforge::tasks {

namespace {

using Names = std::vector<std::string>;

/// The place of the first of `wanted` that is among the names.
std::optional<size_t> place_of(const Names& wanted, const Names& names) {
    for (const std::string& name : wanted) {
        const auto found = std::ranges::find(names, name);
        if (found != names.end()) return static_cast<size_t>(found - names.begin());
    }
    return {};
}

/// "Quality or label, sentence1, sentence2"
std::string described(const std::vector<Names>& wanted) {
    Names columns;
    for (const Names& names : wanted) columns.push_back(fmt::format("{}", fmt::join(names, " or ")));
    return fmt::format("{}", fmt::join(columns, ", "));
}

Columns choices(const Names& names, const std::string& where) {
    Columns columns;
    for (const Names& wanted : {Names{"label"}, Names{"premise"}, Names{"question", "asks_for"}}) {
        const std::optional<size_t> place = place_of(wanted, names);
        require(place || wanted.size() > 1, "{}: no column {}; expected label, premise, choice1, choice2 …", where,
                wanted[0]);
        if (place) columns.places.push_back(*place);
        columns.question |= place && wanted.size() > 1;
    }
    size_t count = 0;
    for (std::optional<size_t> place; (place = place_of({fmt::format("choice{}", count + 1)}, names)); ++count)
        columns.places.push_back(*place);
    require(count >= 2, "{}: no column choice{}; expected label, premise, choice1, choice2 …", where, count + 1);
    columns.must_not_have = fmt::format("choice{}", count + 1);
    return columns;
}

/// All of the columns that are wanted, if they are there.
std::optional<Columns> find_columns(const std::vector<Names>& wanted, const Names& names) {
    Columns columns;
    for (const Names& column : wanted) {
        const std::optional<size_t> place = place_of(column, names);
        if (!place) return {};
        columns.places.push_back(*place);
    }
    return columns;
}

/// A named task's columns; of a user's own file the label, beside which all columns are texts.
std::vector<Names> wanted_by(const Task& task) {
    if (!task.columns.empty()) return task.columns;
    return {task.kind == Kind::regression ? Names{"score", "label"} : Names{"label"}};
}

/// The label, and as texts all others, where a user's own file has names.
std::optional<Columns> of_own_file(const Task& task, const Names& names, const std::string& where) {
    const std::optional<size_t> label = place_of(wanted_by(task)[0], names);
    if (!label) return {};
    Columns columns{.places = {*label}};
    for (size_t i = 0; i < names.size(); ++i)
        if (i != *label) columns.places.push_back(i);
    require(takes_texts(task.kind, names.size() - 1),
            "{}: {} columns beside {}: --columns LABEL,TEXT[,TEXT] says which are the texts", where, names.size() - 1,
            names[*label]);
    return columns;
}

Columns without_header(const Task& task, const Names& fields, const std::string& where) {
    if (!task.bare_columns.empty() && fields.size() == task.bare_columns.size()) {
        Columns columns = *find_columns(task.columns, task.bare_columns);
        columns.header = false;
        return columns;
    }
    const bool as_many = task.columns.empty() || task.columns.size() == fields.size();
    require(task.form == Form::texts && as_many && takes_texts(task.kind, fields.size() - 1),
            "{}: {} columns, and no header with {}", where, fields.size(), described(wanted_by(task)));
    Columns columns{.header = false};
    for (size_t i = 0; i < fields.size(); ++i) columns.places.push_back(i);
    return columns;
}

}  // namespace

bool takes_texts(Kind kind, size_t count) {
    return kind == Kind::single ? count == 1 : kind == Kind::pair ? count == 2 : count == 1 || count == 2;
}

Columns columns_of_header(const std::vector<Names>& wanted, const Names& first, const std::string& where) {
    const std::optional<Columns> columns = find_columns(wanted, first);
    require(columns.has_value(), "{}: the columns are {}, expected {}", where, fmt::join(first, ", "),
            described(wanted));
    return *columns;
}

Columns choose_columns(const Task& task, const Names& given, const Names& first, bool is_json,
                       const std::string& where) {
    if (task.form == Form::choices) return choices(first, where);
    if (!given.empty()) {
        std::vector<Names> wanted;
        for (const std::string& name : given) wanted.push_back({name});
        return columns_of_header(wanted, first, where);
    }
    const std::vector<Names> wanted = wanted_by(task);
    const std::optional<Columns> found =
        task.columns.empty() ? of_own_file(task, first, where) : find_columns(wanted, first);
    if (found) return *found;
    return is_json ? columns_of_header(wanted, first, where) : without_header(task, first, where);
}

}  // namespace dropforge::tasks
