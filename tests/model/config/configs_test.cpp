// The files of configs/.
#include <doctest/doctest.h>

#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "model/config/config.h"
#include "tests/support/message_of.h"
#include "tests/support/paths.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

const fs::path kConfigs = fs::path(kTestData).parent_path().parent_path() / "configs";

}  // namespace

TEST_CASE("configs/: every file loads and is valid") {
    size_t files = 0;
    for (const auto& entry : fs::directory_iterator(kConfigs)) {
        const std::string path = entry.path().string();
        CAPTURE(path);
        const auto config = RunConfig::load(path);
        config.validate();
        CHECK(config.data.sequence <= config.model.max_positions);
        ++files;
    }
    CHECK(files == 14);
}

TEST_CASE("configs/: those named after a preset are that preset with the default recipe, written out") {
    // Parameters of transformers' BertForMaskedLM of that size, decoder tied.
    const std::pair<const char*, int64_t> counts[] = {{"bert-tiny", 4'416'698},   {"bert-mini", 11'201'594},
                                                      {"bert-small", 28'795'194}, {"bert-medium", 41'404'730},
                                                      {"bert-base", 109'514'298}, {"bert-large", 335'174'458}};
    for (const auto& [name, count] : counts) {
        auto config = RunConfig::load((kConfigs / (std::string(name) + ".toml")).string());
        CHECK(config.model.parameter_count() == count);
        CHECK(config.to_toml() == RunConfig::load(name).to_toml());
        for (const std::string key : {"dropping.keep", "dropping.importance_beta", "sctd.interval", "sctd.full_mlm"})
            CHECK_MESSAGE(config.origins.contains(key), key);
        config.set("train.method=sctd");
        CHECK(message_of([&] { config.validate(); }).empty() == (config.model.layers >= 4));
    }
}

TEST_CASE("configs/: the papers' recipes differ from their preset in what they say, and in nothing else") {
    const std::string dropping =
        "activation = \"gelu_new\"; sequence = 512; max_predictions = 76; method = \"token_dropping\"; batch = 512; "
        "schedule = \"polynomial\"; epsilon = 1e-07; keep = 256; ";
    const std::string sctd =
        "sequence = 512; max_predictions = 77; method = \"sctd\"; steps = 250000; batch = 128; lr = 0.0002; "
        "warmup_steps = 25000; schedule = \"polynomial\"; clip = 0.0; importance_beta = 0.95; ";
    for (const char* size : {"base", "large"}) {
        CAPTURE(size);
        const std::string preset = fmt::format("bert-{}", size);
        const auto changes = [&](const std::string& method) {
            const std::string file = fmt::format("{}-{}.toml", method, preset);
            std::istringstream recipe(RunConfig::load((kConfigs / file).string()).to_toml());
            std::istringstream standard(RunConfig::load(preset).to_toml());
            std::string changed;
            for (std::string line, other; std::getline(recipe, line) && std::getline(standard, other);)
                if (line != other) changed += line + "; ";
            return changed;
        };
        CHECK(changes("token-dropping") == dropping);
        CHECK(changes("sctd") == sctd);
    }
}

TEST_CASE("configs/bert-original.toml: BERT-Base with pairs and fixed masks") {
    RunConfig base = RunConfig::load("bert-base");
    for (const char* setting : {"data.pairs=next_sentence", "data.masking=static", "data.max_predictions=20"})
        base.set(setting);
    CHECK(RunConfig::load((kConfigs / "bert-original.toml").string()).to_toml() == base.to_toml());
}
