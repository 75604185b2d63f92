#include "model/methods/registry.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "model/methods/dense.h"
#include "model/methods/sctd.h"
#include "model/methods/token_dropping.h"

namespace dropforge {

std::span<const MethodEntry> methods() {
    /// A new method is one line more.
    static const MethodEntry all[] = {
        dense_method(),
        token_dropping_method(),
        sctd_method(),
    };
    return all;
}

bool MethodEntry::reads(std::string_view table) const { return std::ranges::find(tables, table) != tables.end(); }

std::vector<const char*> method_names() {
    std::vector<const char*> names;
    for (const MethodEntry& entry : methods()) names.push_back(entry.name);
    return names;
}

const MethodEntry& method_entry(const std::string& name) {
    const auto found = std::ranges::find(methods(), name, &MethodEntry::name);
    require(found != methods().end(), "there is no method \"{}\"; there are {}", name, fmt::join(method_names(), ", "));
    return *found;
}

}  // namespace dropforge
