// A checkpoint's manifest.json: the input as it is, and as contents whose checksum is right.
#include "model/checkpoint/manifest.h"

#include <xxhash.h>

#include <nlohmann/json.hpp>

#include "tests/fuzz/fuzzing.h"

using namespace dropforge;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const bool files = [] {
        for (const char* name : kCheckpointFiles) fuzzing::write(name, "some text");
        return true;
    }();
    fuzzing::hold(files, "a checkpoint's files are there");
    const auto read = [](std::string_view manifest) {
        fuzzing::write("manifest.json", manifest);
        const std::string part = missing_part(fuzzing::folder()), any = damage(fuzzing::folder());
        fuzzing::hold(part.empty() || !any.empty(), "what is missing is damage");
    };
    read(fuzzing::text_of(data, size));
    const auto contents = nlohmann::json::parse(data, data + size, nullptr, false);
    if (contents.is_discarded()) return 0;
    const std::string text = contents.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    read(fmt::format("{{\"contents\":{},\"xxh64\":\"{:016x}\"}}", text, XXH64(text.data(), text.size(), 0)));
    return 0;
}
