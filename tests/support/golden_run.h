// The golden cases of fine-tuning as runs: their command lines, and a comparison of what a run wrote with the results
// of another implementation, within limits derived from PyTorch's own errors.
#pragma once

#include <string>
#include <vector>

#include "tests/support/cli_fixture.h"
#include "tests/support/parity_cases.h"

namespace dropforge::test {

/// A case of tests/golden/finetune whose model is there, and one of its runs.
class GoldenRun {
  public:
    GoldenRun(const std::string& name, const std::string& run)
        : folder_(fs::path(kTestData) / "finetune" / name), run_(run), case_(read("case.json")) {}

    const fs::path& folder() const { return folder_; }
    std::string task() const { return case_.at("task"); }
    fs::path train() const { return folder_ / case_.at("train").get<std::string>(); }
    fs::path evaluated() const { return folder_ / case_.at("eval").get<std::string>(); }

    /// "key=value" of every --set.
    std::vector<std::string> settings() const {
        std::vector<std::string> settings;
        const auto add = [&](const Json& arguments) {
            for (const std::string argument : arguments)
                if (argument != "--set") settings.push_back(argument);
        };
        add(case_.at("arguments"));
        for (const Json& run : case_.at("runs"))
            if (run.at("name") == run_) add(run.value("arguments", Json::array()));
        return settings;
    }

    /// `dropforge finetune`; of a key that is in `more` too, that counts.
    Arguments command(const fs::path& out, const Arguments& more = {}) const {
        Arguments arguments = {"finetune",       "--model", folder_.string(),     "--task", task(),      "--train",
                               train().string(), "--eval",  evaluated().string(), "--out",  out.string()};
        for (const std::string& setting : settings()) arguments = arguments + Arguments{"--set", setting};
        return arguments + more;
    }

    /// Checks what a run of the case in that precision wrote: every step, the evaluations, the logits, and the
    /// difference of every weight.
    void check(const fs::path& out, DType dtype) const {
        const Json facts = read("expected_" + run_ + ".json"), result = Json::parse(read_text(out / "result.json")),
                   limits = read("tolerances_" + run_ + ".json");
        const SafetensorsFile expected(folder_ / ("expected_" + run_ + ".safetensors")),
            initial(folder_ / "model.safetensors"), final(out / "checkpoint" / "model.safetensors"),
            evaluated(out / "eval.safetensors");
        CHECK(result.at("labels") == facts.at("labels"));
        for (const char* file : {"train", "eval"})
            for (const auto& [key, value] : facts.at(file).items()) CHECK(result.at(file).at(key) == value);
        CHECK(final.tensors().size() == facts.at("parameters").size());
        if (dtype == DType::f32) check_metrics(result, facts);
        for (const auto& entry : expected.tensors()) {
            const std::string& name = entry.first;
            CAPTURE(name);
            const size_t hash = name.find('#');
            const std::string base = name.substr(0, hash),
                              kind = hash == std::string::npos ? "" : name.substr(hash + 1);
            if (evaluated.has(name) && evaluated.info(name).dtype == "I32") {
                CHECK(integers(evaluated, name) == integers(expected, name));
            } else if (name == "eval_loss" || name == "loss" || name == "grad_norm" || name == "lr") {
                check_series(name, series(out, result, name), values(expected, name), limits, dtype);
            } else {
                const std::vector<double> got = result_of(out, base, kind, initial, final, evaluated),
                                          want = values(expected, name);
                check_tensor(got, want, limits.at(name), dtype);
            }
        }
    }

  private:
    Json read(const std::string& file) const { return Json::parse(read_text(folder_ / file)); }

    static void check_metrics(const Json& result, const Json& facts) {
        const Json& epochs = result.at("seeds")[0].at("epochs");
        REQUIRE(epochs.size() == facts.at("epochs").size());
        for (size_t i = 0; i < epochs.size(); ++i) {
            CHECK(epochs[i].at("step") == facts.at("epoch_steps")[i]);
            for (const auto& metric : facts.at("epochs")[i].items()) {
                const std::string& name = metric.key();
                CAPTURE(name);
                CHECK(std::abs(epochs[i].at("metrics").at(name).get<double>() - metric.value().get<double>()) <=
                      facts.at("metric_limits").at(name).get<double>());
            }
        }
        CHECK(result.at("seeds")[0].at("best_epoch") == facts.at("best_epoch"));
    }

    /// A number of every step, or of every evaluation.
    static std::vector<double> series(const fs::path& out, const Json& result, const std::string& name) {
        std::vector<double> values;
        if (name == "eval_loss") {
            for (const Json& epoch : result.at("seeds")[0].at("epochs")) values.push_back(epoch.at("loss"));
            return values;
        }
        std::istringstream lines(read_text(out / "metrics.jsonl"));
        for (std::string line; std::getline(lines, line);)
            if (const Json json = Json::parse(line); json.contains("loss")) values.push_back(json.at(name));
        return values;
    }

    /// A tensor as the expected file has it.
    static std::vector<double> result_of(const fs::path& out, const std::string& name, const std::string& kind,
                                         const SafetensorsFile& initial, const SafetensorsFile& final,
                                         const SafetensorsFile& evaluated) {
        if (name == "null_odds") {
            const auto questions = nlohmann::ordered_json::parse(read_text(out / "null_odds.json"));
            std::vector<double> odds;
            for (const auto& entry : questions.items()) odds.push_back(entry.value());
            return odds;
        }
        constexpr std::string_view kUpdate = "update/";
        if (!name.starts_with(kUpdate)) return view(kind, values(evaluated, name), evaluated.info(name).shape);
        const std::string weight = name.substr(kUpdate.size());
        std::vector<double> update = values(final, weight);
        const std::vector<double> before = values(initial, weight);
        for (size_t i = 0; i < update.size(); ++i) update[i] -= before[i];
        return view(kind, update, final.info(weight).shape);
    }

    /// Of a tensor, or of place `at` of a series.
    static double limit_of(const Json& entry, DType dtype, size_t at) {
        const auto error = [&](const char* of) {
            const Json& errors = entry.at(of);
            return (errors.is_array() ? errors.at(at) : errors).get<double>();
        };
        const double factor = entry.value("noise", false) ? 10 : 2;
        if (dtype == DType::f32) return factor * error("f32") + 1e-6;
        return factor * std::max(error("bf16_autocast"), error("bf16_mirror"));
    }

    static void check_series(const std::string& name, const std::vector<double>& got, const std::vector<double>& want,
                             const Json& limits, DType dtype) {
        REQUIRE(got.size() == want.size());
        for (size_t i = 0; i < got.size(); ++i) {
            CAPTURE(i);
            const bool rate = name == "lr";
            const double scale = rate || name == "grad_norm" ? want[i] : limits.at(name).at("scale").get<double>(),
                         most = rate ? 1e-6 : limit_of(limits.at(name), dtype, i), error = std::abs(got[i] - want[i]);
            CHECK_MESSAGE(error <= most * scale, "relative error " << error / scale << ", limit " << most);
        }
    }

    static void check_tensor(const std::vector<double>& got, const std::vector<double>& want, const Json& entry,
                             DType dtype) {
        REQUIRE(got.size() == want.size());
        double squares = 0;
        for (size_t i = 0; i < got.size(); ++i) squares += (got[i] - want[i]) * (got[i] - want[i]);
        const double error = std::sqrt(squares) / entry.at("scale").get<double>(), most = limit_of(entry, dtype, 0);
        CHECK_MESSAGE(error <= most, "relative error " << error << ", limit " << most);
    }

    const fs::path folder_;
    const std::string run_;
    const Json case_;
};

}  // namespace dropforge::test
