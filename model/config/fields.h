// The table of a run's keys: parsing, checks, printing and --set of RunConfig all come from it.
#pragma once

#include <fmt/format.h>

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "model/config/config.h"

namespace dropforge::config {

/// In the order of Precision.
inline constexpr std::array kPrecisionNames{"auto", "bf16", "fp16", "f32"};

struct Field {
    const char *table, *name;
    std::function<Slot(RunConfig&)> slot;
    Range range = kAny;
    std::vector<const char*> choices = {};  // in the order of the enum
    bool defines_run = true;                // must not change when a run is resumed
    bool of_method = false;                 // it defines the runs of the methods that read its table
    bool kept_on_resume = false;            // a resumed run has the value that it began with: of a Derived key, of a
                                            // choice whose first is "auto", of an integer whose 0 is automatic
    std::function<void(RunConfig&)> after = {};  // what follows from the new value

    std::string key() const { return fmt::format("{}.{}", table, name); }
    bool defines(const MethodEntry& method) const { return defines_run && (!of_method || method.reads(table)); }
};

/// All keys in the order in which they are printed; a shorthand stands before the keys that it sets.
const std::vector<Field>& fields();

}  // namespace dropforge::config
