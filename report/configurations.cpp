#include "report/configurations.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/shell_word.h"
#include "model/config/fields.h"
#include "model/config/values.h"

namespace dropforge::report {

namespace {

/// The keys of `config` that another one, which is changed to it one by one, has other values of, with their values:
/// a key that is set may set others that follow from it.
std::vector<std::pair<std::string, std::string>> settings_from(RunConfig other, const RunConfig& config) {
    std::vector<std::pair<std::string, std::string>> settings;
    const std::map<std::string, std::string> values = values_of(config);
    while (true) {
        const std::vector<std::string> keys = differing_keys({&other, &config});
        const auto next = std::ranges::find_if(keys, [&](const std::string& key) {
            return !values.at(key).empty() &&
                   std::ranges::find(settings, key, [](const auto& s) { return s.first; }) == settings.end();
        });
        if (next == keys.end()) return settings;
        const std::string& value = values.at(*next);
        const bool quotes = value.front() == '"' || value.front() == '\'';
        settings.emplace_back(*next, *next == "data.path" ? config.data.path
                                     : quotes             ? value.substr(1, value.size() - 2)
                                                          : value);
        other.set({{.key = settings.back().first, .value = settings.back().second}});
    }
}

/// The one with the most keys in common.
std::string nearest_preset(const RunConfig& config) {
    const std::vector<std::string> names = BertConfig::preset_names();
    return *std::ranges::min_element(names, {}, [&](const std::string& name) {
        const RunConfig preset = RunConfig::load(name);
        return differing_keys({&preset, &config}).size();
    });
}

}  // namespace

std::map<std::string, std::string> values_of(RunConfig config) {
    std::map<std::string, std::string> values;
    for (const config::Field& field : config::fields(config)) {
        const std::string value = config::value_text(field);
        if (value.empty()) continue;  // a shorthand for others
        values[field.key()] = field.is_read ? value : "";
    }
    return values;
}

std::vector<std::string> differing_keys(const std::vector<const RunConfig*>& configurations) {
    std::vector<std::map<std::string, std::string>> all;
    std::ranges::transform(configurations, std::back_inserter(all),
                           [](const RunConfig* config) { return values_of(*config); });
    std::vector<std::string> keys;
    RunConfig any;
    for (const config::Field& field : config::fields(any)) {
        const std::string key = field.key();
        if (all.empty() || !all.front().contains(key)) continue;
        if (std::ranges::any_of(all, [&](const auto& values) { return values.at(key) != all.front().at(key); }))
            keys.push_back(key);
    }
    return keys;
}

std::string pretrain_command(const RunConfig& config, const std::string& out, const std::string& initial) {
    static constexpr std::pair<const char*, const char*> kOptions[] = {
        {"data.path", "--data"},    {"train.method", "--method"}, {"train.precision", "--precision"},
        {"train.steps", "--steps"}, {"train.batch", "--batch"},   {"data.sequence", "--sequence"},
        {"train.seed", "--seed"}};
    const std::string preset = nearest_preset(config);
    std::string options, settings;
    for (const auto& [key, value] : settings_from(RunConfig::load(preset), config)) {
        const auto* option = std::ranges::find(kOptions, key, &std::pair<const char*, const char*>::first);
        if (option != std::end(kOptions))
            options += fmt::format(" {} {}", option->second, shell_word(value));
        else
            settings += fmt::format(" --set {}", shell_word(fmt::format("{}={}", key, value)));
    }
    const std::string init = initial.empty() ? "" : " --init " + shell_word(initial);
    return fmt::format("dropforge pretrain {}{} --out {}{}{}", preset, options, shell_word(out), init, settings);
}

}  // namespace dropforge::report
