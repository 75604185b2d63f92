// The list of methods, by name.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/safetensors.h"
#include "model/methods/method.h"
#include "model/methods/option_tables.h"

namespace dropforge {

/// The key with the place where it was given, "dropping.keep (a.toml:7)", for errors.
using NamedKey = std::function<std::string(const char* key)>;

/// An option of `dropforge parity` that stands for a key.
struct ParityOption {
    const char *flag, *key, *help;
};

/// One step on a given batch (docs/parity.md), as a method sees it.
struct ParityCase {
    RunShape shape;
    const OptionTables& options;
    std::string model;  // for errors
    const SafetensorsFile& batch;
};

struct MethodEntry {
    const char* name;                               // of train.method
    std::vector<const char*> tables = {};           // of a configuration that it reads
    std::vector<config::MethodKey> keys = {};       // that came with it, in the order in which they are printed
    std::vector<const char*> memory_switches = {};  // boolean keys that trade memory for work
    /// Throws Error if the options contradict each other or the run.
    void (*check)(const RunShape& shape, const OptionTables& options, const NamedKey& key) = nullptr;
    std::vector<ParityOption> parity_options = {};
    /// The method of a parity run, in which every step is one that the method is about. Throws Error for a model or
    /// options that it cannot work on. By default make().
    std::shared_ptr<const Method> (*make_for_parity)(const ParityCase& given) = nullptr;
    /// Of options that were checked.
    std::shared_ptr<const Method> (*make)(const RunShape& shape, const OptionTables& options);

    bool reads(std::string_view table) const;
};

std::span<const MethodEntry> methods();
std::vector<const char*> method_names();
/// Throws Error if it is none of these.
const MethodEntry& method_entry(const std::string& name);

}  // namespace dropforge
