#include "model/config/config.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/installation.h"
#include "model/config/fields.h"
#include "model/config/key_table.h"
#include "model/config/values.h"

namespace dropforge {

namespace {

/// Of configurations that came with this program.
fs::path shared_configs() { return shared_folder() / "configs"; }

std::set<std::string> shared_names() {
    std::set<std::string> names;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(shared_configs(), none)) {
        const std::string name = entry.path().stem().string();
        if (entry.path().extension() == ".toml" && !BertConfig::is_preset(name)) names.insert(name);
    }
    return names;
}

}  // namespace

int64_t DataOptions::predictions() const {
    const auto share = std::llround(mask_probability * static_cast<double>(sequence));
    return max_predictions.value_or(std::max<int64_t>(1, share));
}

int64_t TrainOptions::warmup() const { return warmup_steps.value_or(std::min<int64_t>(steps / 10, 10'000)); }

fs::path RunConfig::file_of(const std::string& what) {
    fs::path path = what;
    std::error_code error;
    if (fs::is_regular_file(path, error)) return path;
    const bool is_name = !path.has_parent_path() || path.parent_path() == "configs";
    if (!is_name || BertConfig::is_preset(what)) return {};
    fs::path file = shared_configs() / path.filename();
    if (file.extension() != ".toml") file += ".toml";
    return fs::is_regular_file(file, error) ? file : fs::path();
}

RunConfig RunConfig::load(const std::string& what) {
    const fs::path file = file_of(what);
    if (!file.empty()) return from_toml(read_text(file), file.string());
    RunConfig config;
    try {
        config.model = BertConfig::preset(what);
    } catch (const Error& error) {
        throw Error("there is no file {}, and {}; and the configurations {}", what, error.what(),
                    fmt::join(shared_names(), ", "));
    }
    return config;
}

RunConfig RunConfig::from_toml(const std::string& text, const std::string& where) {
    RunConfig config;
    config::read_toml(config::fields(config), config.origins, text, where);
    return config;
}

Setting Setting::parse(const std::string& assignment) {
    const size_t equals = assignment.find('=');
    require(equals != std::string::npos, "--set: expected table.key=value, got {}", assignment);
    return {.key = assignment.substr(0, equals), .value = assignment.substr(equals + 1)};
}

void RunConfig::set(const std::vector<Setting>& settings) {
    RunConfig changed = *this;  // so that a bad value changes nothing
    config::apply(config::fields(changed), changed.origins, settings);
    *this = std::move(changed);
}

void RunConfig::go_on_from(const RunConfig& record, const std::string& where) {
    RunConfig source = record;
    const std::vector<config::Field> own_fields = config::fields(*this), of_record = config::fields(source);
    for (size_t i = 0; i < own_fields.size(); ++i)
        if (own_fields[i].kept_on_resume && config::take_derived(own_fields[i], of_record[i])) {
            origins[own_fields[i].key()] = where;
            kept.insert(own_fields[i].key());
        }
}

std::string RunConfig::to_toml() const {
    RunConfig config = *this;  // fields are slots to write to
    return config::to_toml(config::fields(config));
}

std::string RunConfig::difference(const RunConfig& other) const {
    RunConfig here = *this, there = other;
    return config::difference(config::fields(here), config::fields(there));
}

}  // namespace dropforge
