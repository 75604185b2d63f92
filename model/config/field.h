// A key of a configuration. The same machinery (values.h, key_table.h) reads, checks and prints those of every
// configuration.
#pragma once

#include <fmt/format.h>

#include <functional>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "model/methods/option_tables.h"

namespace dropforge::config {

inline constexpr Range kDropout{0, kernels::Dropout::kLimit, false, true};

/// Its slot is in the configuration that it was made for, which must outlive it.
struct Field {
    const char *table, *name;
    Slot slot;
    Range range = kAny;
    std::vector<const char*> choices = {};  // in the order of the enum
    bool defines_run = true;                // must not change when a run is resumed
    bool is_read = true;                    // false: a key of methods other than that of the configuration
    bool kept_on_resume = false;            // a resumed run has the value that it began with: of a Derived key, of a
                                            // choice whose first is "auto", of an integer whose 0 is automatic
    std::function<void()> after = {};       // what follows from the new value

    std::string key() const { return fmt::format("{}.{}", table, name); }
};

}  // namespace dropforge::config
