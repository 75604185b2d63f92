#include "base/json.h"

#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"

namespace dropforge {

namespace {

using Json = nlohmann::json;

constexpr int kDeepest = 32;  // Hugging Face's tokenizer.json has 6

}  // namespace

Json parse_json(const std::string& text, const std::string& where, std::vector<std::string>* keys) {
    std::vector<std::set<std::string>> above;  // the keys of the objects around the current place
    const auto check = [&](int depth, Json::parse_event_t event, Json& value) {
        require(depth <= kDeepest, "{}: nested more than {} deep", where, kDeepest);
        if (event == Json::parse_event_t::object_start) above.emplace_back();
        if (event == Json::parse_event_t::object_end) above.pop_back();
        if (event == Json::parse_event_t::key) {
            require(above.back().insert(value.get<std::string>()).second, "{}: the key {} is there twice", where,
                    value.dump(-1, ' ', true));
            if (keys != nullptr && depth == 1) keys->push_back(value.get<std::string>());
        }
        return true;
    };
    try {
        return Json::parse(text, check);
    } catch (const Json::exception& error) {
        // "[json.exception.…] parse error at …; last read: …", the last part of which may be any bytes
        const std::string message = error.what();
        const size_t begin = message.find("] ") + 2;
        throw Error("{}: not JSON: {}", where, message.substr(begin, message.find("; last read: ") - begin));
    }
}

uint64_t count_in(const Json& object, const char* key) {
    const Json& value = object.at(key);
    require(value.is_number_unsigned() || (value.is_number_integer() && value.get<int64_t>() >= 0),
            "{} is {}, expected a whole number", key, value.dump(-1, ' ', true));
    return value.get<uint64_t>();
}

std::string json_text(const nlohmann::ordered_json& json) {
    return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace dropforge
