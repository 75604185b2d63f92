#include "model/run/memory_fit.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "model/config/fields.h"

namespace dropforge {

namespace {

constexpr int64_t kShortest = 128;  // of the lengths in the table: Devlin et al.'s first 90 % of the steps

/// A GPU that has every precision and `memory` bytes: what a run needs does not depend on where it runs.
Device imaginary_device(int64_t memory) {
    return {.kind = "cuda", .model = "any", .text = "any", .bf16 = true, .compute_capability = 80, .available = memory};
}

bool is_valid(const RunConfig& config) {
    try {
        config.validate();
        return true;
    } catch (const Error&) {
        return false;
    }
}

/// Whether the run of a plan fits with that setting and one sequence at a time.
bool fits(const RunPlan& plan, const std::string& setting) {
    RunConfig config = plan.config;
    config.set({Setting::parse(setting), {.key = "train.micro_batch", .value = "1"}});
    if (!is_valid(config)) return false;
    const RunPlan smaller(config, plan.device);
    return smaller.memory_bytes() <= smaller.device.available;
}

std::set<int64_t> lengths(const RunConfig& config) {
    std::set<int64_t> lengths{config.data.sequence};
    for (int64_t length = kShortest; length <= config.model.max_positions; length *= 2) lengths.insert(length);
    return lengths;
}

MemoryRow memory_row(RunConfig config, const std::vector<bool>& switches, int64_t memory) {
    config.train.micro_batch = 0;
    const RunPlan plan(config, imaginary_device(memory));
    const bool fits = plan.memory_bytes() <= memory;
    return {config.data.sequence,
            config.train.precision,
            config.train.gelu_output == GeluOutput::keep,
            switches,
            fits ? plan.config.train.micro_batch : 0,
            plan.memory_bytes()};
}

const char* name_of(Precision precision) { return config::kPrecisionNames[static_cast<size_t>(precision)]; }

}  // namespace

std::vector<int64_t> divisors(int64_t number) {
    std::set<int64_t, std::greater<>> found;
    for (int64_t d = 1; d * d <= number; ++d)
        if (number % d == 0) found.insert({d, number / d});
    return {found.begin(), found.end()};
}

std::string what_would_fit(const RunPlan& plan) {
    const RunConfig& config = plan.config;
    std::vector<std::string> ways;
    /// The first that fits of settings that become smaller and smaller.
    const auto offer = [&](const std::vector<std::string>& settings) {
        const auto found =
            std::ranges::find_if(settings, [&](const std::string& setting) { return fits(plan, setting); });
        if (found != settings.end()) ways.push_back(*found);
    };
    const auto halves = [](const char* key, int64_t from, int64_t to) {
        std::vector<std::string> settings;
        while ((from /= 2) >= to) settings.push_back(fmt::format("{}={}", key, from));
        return settings;
    };
    std::vector<std::string> presets;
    for (const std::string& name : BertConfig::preset_names())
        if (BertConfig::preset(name).parameter_count() < config.model.parameter_count())
            presets.insert(presets.begin(), "model.preset=" + name);
    offer(halves("data.sequence", config.data.sequence, 8));
    offer(halves("train.batch", config.train.batch, 1));
    offer(presets);
    return fmt::format("{}", fmt::join(ways, " or "));
}

std::vector<MemoryRow> memory_table(const RunConfig& given, int64_t memory) {
    const std::vector<const char*>& keys = method_entry(given.train.method).memory_switches;
    std::vector<MemoryRow> rows;
    for (const int64_t sequence : lengths(given))
        for (const Precision precision : {Precision::f32, Precision::bf16, Precision::fp16})
            for (const GeluOutput gelu : {GeluOutput::keep, GeluOutput::recompute})
                for (uint32_t chosen = 0; chosen < 1u << keys.size(); ++chosen) {
                    RunConfig config = given;
                    config.data.sequence = sequence;
                    config.train.precision = precision;
                    config.train.gelu_output = gelu;
                    std::vector<bool> switches;
                    for (size_t i = 0; i < keys.size(); ++i) {
                        switches.push_back((chosen >> i & 1) != 0);
                        config.set({{.key = keys[i], .value = switches[i] ? "true" : "false"}});
                    }
                    if (is_valid(config)) rows.push_back(memory_row(config, switches, memory));
                }
    return rows;
}

std::string memory_text(const RunConfig& config, const std::vector<MemoryRow>& rows, int64_t memory) {
    std::string names;
    for (const char* key : method_entry(config.train.method).memory_switches)
        names += fmt::format("  {:<9}", std::string_view(key).substr(std::string_view(key).find('.') + 1));
    std::string text = fmt::format(
        "Largest micro-batch of a batch of {} in {:.0f} MB (a GPU holds some 540 MB of kernels and their scratch "
        "beside it)\n"
        "{:>8}  {:<9}  {:<11}{}  {:>11}  {:>9}\n",
        config.train.batch, static_cast<double>(memory) / 1e6, "sequence", "precision", "gelu_output", names,
        "micro_batch", "MB");
    for (const MemoryRow& row : rows) {
        std::string switches;
        for (const bool on : row.switches) switches += fmt::format("  {:<9}", on);
        text += fmt::format("{:>8}  {:<9}  {:<11}{}  {:>11}  {:>9.0f}\n", row.sequence, name_of(row.precision),
                            row.keep_gelu ? "keep" : "recompute", switches,
                            row.micro_batch == 0 ? "none fits" : std::to_string(row.micro_batch),
                            static_cast<double>(row.memory_bytes) / 1e6);
    }
    return text;
}

nlohmann::ordered_json memory_json(const RunConfig& config, const std::vector<MemoryRow>& rows) {
    auto list = nlohmann::ordered_json::array();
    for (const MemoryRow& row : rows) {
        nlohmann::ordered_json json = {{"sequence", row.sequence},
                                       {"precision", name_of(row.precision)},
                                       {"gelu_output", row.keep_gelu ? "keep" : "recompute"}};
        for (size_t i = 0; i < row.switches.size(); ++i) {
            std::string key = method_entry(config.train.method).memory_switches[i];  // sctd.recompute
            std::ranges::replace(key, '.', '_');
            json[key] = static_cast<bool>(row.switches[i]);
        }
        json["micro_batch"] = row.micro_batch;
        json["memory_bytes"] = row.memory_bytes;
        list.push_back(std::move(json));
    }
    return list;
}

}  // namespace dropforge
