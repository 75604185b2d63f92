// A run's configuration in TOML.
#include "model/config/config.h"

#include "tests/fuzz/fuzzing.h"

using namespace dropforge;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string text(fuzzing::text_of(data, size));
    fuzzing::taken([&] {
        const RunConfig config = RunConfig::from_toml(text, "config.toml");
        fuzzing::taken([&] { config.validate(); });
        const std::string written = config.to_toml();
        RunConfig again;
        fuzzing::hold(fuzzing::taken([&] { again = RunConfig::from_toml(written, "config.toml"); }),
                      "what was written can be read");
        fuzzing::hold(again.to_toml() == written, "it reads back as it was written");
        fuzzing::hold(again.difference(config).empty(), "it defines the same run");
    });
    return 0;
}
