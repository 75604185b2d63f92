// Hugging Face's config.json.
#include "model/network/bert_config.h"

#include "tests/fuzz/fuzzing.h"

using namespace dropforge;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string text(fuzzing::text_of(data, size));
    fuzzing::taken([&] {
        const BertConfig config = BertConfig::from_json(text, "config.json");
        config.validate("config.json");
        const std::string written = config.to_json("BertForMaskedLM");
        BertConfig again;
        fuzzing::hold(fuzzing::taken([&] { again = BertConfig::from_json(written, "config.json"); }),
                      "what was written can be read");
        fuzzing::hold(again.to_json("BertForMaskedLM") == written, "it reads back as it was written");
    });
    return 0;
}
