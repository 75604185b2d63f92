// The engine against the independent PyTorch reference: a run of `dropforge parity` on a golden case, with limits
// derived from PyTorch's own error.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <ostream>
#include <set>
#include <span>

#include "apps/parity_run.h"
#include "base/error.h"
#include "engine/safetensors.h"
#include "model/checkpoint/checkpoint.h"
#include "model/methods/mask_later.h"
#include "model/methods/sctd.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_folder.h"

namespace dropforge::test {

using Json = nlohmann::json;

inline const fs::path kCases = fs::path(kTestData) / "parity";

inline std::vector<double> values(const SafetensorsFile& file, const std::string& name) {
    std::vector<float> floats(static_cast<size_t>(file.info(name).size()));
    file.read(name, std::span<float>(floats));
    return {floats.begin(), floats.end()};
}

inline std::vector<int32_t> integers(const SafetensorsFile& file, const std::string& name) {
    std::vector<int32_t> integers(static_cast<size_t>(file.info(name).size()));
    file.read(name, std::span<int32_t>(integers), file.info(name).shape);
    return integers;
}

/// What an expected tensor "base#view" holds of the whole tensor [rows, columns] (parity contract, "Golden cases").
inline std::vector<double> view(const std::string& kind, const std::vector<double>& tensor,
                                const std::vector<int64_t>& shape) {
    if (kind.empty()) return tensor;
    const auto rows = static_cast<size_t>(shape[0]), columns = tensor.size() / rows;
    std::vector<double> result;
    if (kind == "centred") {  // less the mean over the last dimension, which all logits of a softmax may share
        const auto last = static_cast<size_t>(shape.back());
        for (size_t first = 0; first < tensor.size(); first += last) {
            const auto row = std::span(tensor).subspan(first, last);
            const double mean = std::reduce(row.begin(), row.end()) / static_cast<double>(last);
            for (const double x : row) result.push_back(x - mean);
        }
    } else if (kind.starts_with("every")) {
        const size_t every = std::stoul(kind.substr(5));
        for (size_t r = 0; r < rows; r += every)
            result.insert(result.end(), tensor.begin() + static_cast<ptrdiff_t>(r * columns),
                          tensor.begin() + static_cast<ptrdiff_t>((r + 1) * columns));
    } else if (kind == "down" || kind == "across") {
        const bool down = kind == "down";
        result.resize(down ? columns : rows);
        for (size_t r = 0; r < rows; ++r)
            for (size_t c = 0; c < columns; ++c)
                result[down ? c : r] += std::cos(1.0 + static_cast<double>(down ? r : c)) * tensor[r * columns + c];
    } else {
        FAIL("unknown view " << kind);
    }
    return result;
}

inline double limit(const Json& entry, DType dtype) {
    const double factor = entry.value("noise", false) ? 10 : 2;
    if (dtype == DType::f32) return factor * entry["f32"]["relative_l2"].get<double>() + 1e-6;
    return factor * std::max(entry["bf16_autocast"]["relative_l2"].get<double>(),
                             entry["bf16_mirror"]["relative_l2"].get<double>());
}

/// Place of `name` in a list of names.
template <typename Enum, size_t N>
Enum choice(const std::array<const char*, N>& names, const std::string& name) {
    const auto found = std::ranges::find(names, name);
    REQUIRE_MESSAGE(found != names.end(), name);
    return static_cast<Enum>(found - names.begin());
}

inline ParityOptions options_of(const Json& arguments) {
    ParityOptions o;
    auto& dropping = o.method_options.of<DroppingOptions>();
    auto& sctd = o.method_options.of<SctdOptions>();
    auto& mask_later = o.method_options.of<MaskLaterOptions>();
    using Value = const std::string&;
    const std::map<std::string, std::function<void(Value)>> set = {
        {"--method", [&](Value v) { o.method = v; }},
        {"--steps", [&](Value v) { o.steps = std::stoll(v); }},
        {"--optimizer",
         [&](Value v) { o.optimizer.kind = v == "lamb" ? ops::Optimizer::lamb : ops::Optimizer::adamw; }},
        {"--lr", [&](Value v) { o.lr = std::stod(v); }},
        {"--weight-decay", [&](Value v) { o.optimizer.weight_decay = std::stof(v); }},
        {"--beta1", [&](Value v) { o.optimizer.beta1 = std::stof(v); }},
        {"--beta2", [&](Value v) { o.optimizer.beta2 = std::stof(v); }},
        {"--eps", [&](Value v) { o.optimizer.epsilon = std::stof(v); }},
        {"--clip", [&](Value v) { o.optimizer.clip = std::stof(v); }},
        {"--keep",
         [&](Value v) {
             dropping.keep = {std::stod(v), false};
         }},
        {"--lambda", [&](Value v) { sctd.lambda = std::stod(v); }},
        {"--pooled", [&](Value v) { sctd.pooled = choice<Pooling>(kPoolingNames, v); }},
        {"--kl-normalization",
         [&](Value v) { sctd.kl_normalization = choice<KlNormalization>(kKlNormalizationNames, v); }},
        {"--mask-layer", [&](Value v) { mask_later.layer = std::stoll(v); }},
        {"--share-trunk", [&](Value v) { sctd.share_trunk = v == "on"; }}};
    for (size_t i = 0; i + 1 < arguments.size(); i += 2) {
        const auto found = set.find(arguments[i].get<std::string>());
        REQUIRE_MESSAGE(found != set.end(), arguments[i]);
        found->second(arguments[i + 1].get<std::string>());
    }
    return o;
}

/// Removes the entries that the run left as they were before it from both, after a check that they are equal.
inline void leave_changed(const std::vector<double>& before, std::vector<double>& got, std::vector<double>& want) {
    size_t kept = 0;
    for (size_t i = 0; i < want.size(); ++i) {
        if (want[i] == before[i]) {
            CHECK_MESSAGE(got[i] == want[i], "entry " << i << " must not change");
            continue;
        }
        got[kept] = got[i];
        want[kept++] = want[i];
    }
    CHECK(kept > 0);
    got.resize(kept);
    want.resize(kept);
}

inline void check_no_other(const SafetensorsFile& result, const SafetensorsFile& expected, const std::string& prefix) {
    const auto base = [](const std::string& name) { return name.substr(0, name.find('#')); };
    std::set<std::string> wanted;
    for (const auto& [name, info] : expected.tensors())
        if (name.starts_with(prefix)) wanted.insert(base(name));
    if (wanted.empty()) return;
    for (const auto& entry : result.tensors()) {
        const std::string& name = entry.first;
        if (name.starts_with(prefix)) CHECK_MESSAGE(wanted.contains(name), name << " is not wanted");
    }
}

/// `report` gets a line for each tensor: the run, its name, its error, the limit.
inline void check_run(const kernels::KernelTable& table, const fs::path& folder, const Json& given, DType dtype,
                      std::ostream* report) {
    const TemporaryFolder scratch;
    const std::string run = given.value("expected", given["name"].get<std::string>());
    ParityOptions options = options_of(given["arguments"]);
    options.model = folder;
    options.batch = folder / given.value("batch", "batch.safetensors");
    options.out = scratch.path() / "result.safetensors";
    options.dtype = dtype;
    options.kernels = &table;
    parity(options);
    const SafetensorsFile result(options.out), expected(folder / ("expected_" + run + ".safetensors")),
        batch(options.batch);
    CHECK(result.has("kept_positions") == expected.has("kept_positions"));
    const Json tolerances = Json::parse(read_text(folder / ("tolerances_" + run + ".json")));
    for (const auto& entry : expected.tensors()) {
        const std::string& name = entry.first;
        CAPTURE(name);
        const size_t hash = name.find('#');
        const std::string base = name.substr(0, hash), kind = hash == std::string::npos ? "" : name.substr(hash + 1);
        REQUIRE(result.has(base));
        if (name == "kept_positions") {
            CHECK(integers(result, name) == integers(expected, name));
            continue;
        }
        std::vector<double> got = view(kind, values(result, base), result.info(base).shape),
                            want = values(expected, name);
        REQUIRE(got.size() == want.size());
        if (name == "importance_after") leave_changed(values(batch, "importance"), got, want);
        double squares = 0;
        for (size_t i = 0; i < got.size(); ++i) squares += (got[i] - want[i]) * (got[i] - want[i]);
        const double error = std::sqrt(squares) / tolerances[name]["scale"].get<double>();
        const double most = limit(tolerances[name], dtype);
        if (report)
            *report << fmt::format("{}/{} {}\t{}\t{:.3g}\t{:.3g}\n", folder.filename().string(), run, name_of(dtype),
                                   name, error, most);
        CHECK_MESSAGE(error <= most, "relative error " << error << ", limit " << most);  // NaN is not
    }
    check_no_other(result, expected, "gradient/");
    check_no_other(result, expected, "parameter/");
}

/// `chosen`: "a/dense", …; empty: all of them.
inline void check_cases(const kernels::KernelTable& table, DType dtype, const std::set<std::string>& chosen = {},
                        std::ostream* report = nullptr) {
    CAPTURE(std::string(table.name));
    for (const char* name : {"a", "b"}) {
        const fs::path folder = kCases / name;
        const Json cases = Json::parse(read_text(folder / "case.json"));
        for (const Json& run : cases["runs"]) {
            const auto id = run["name"].get<std::string>();
            if (!chosen.empty() && !chosen.contains(fmt::format("{}/{}", name, id))) continue;
            CAPTURE(name);
            CAPTURE(id);
            check_run(table, folder, run, dtype, report);
        }
    }
}

}  // namespace dropforge::test
