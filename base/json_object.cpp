#include "base/json_object.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/json.h"

namespace dropforge {

namespace {

using Json = nlohmann::json;

constexpr size_t kMostShown = 80;  // bytes

}  // namespace

JsonObject::JsonObject(const std::string& text, const std::string& where)
    : json_(parse_json(text, where)), where_(where) {
    require(json_.is_object(), "{}: not a JSON object", where);
}

JsonObject JsonObject::of(Json json, std::string where) {
    JsonObject object;
    object.json_ = std::move(json);
    object.where_ = std::move(where);
    return object;
}

std::vector<JsonObject> JsonObject::list(const std::string& text, const std::string& where) {
    return of({{"entries", parse_json(text, where)}}, where).objects("entries");
}

std::vector<std::string> JsonObject::keys() const {
    std::vector<std::string> keys;
    for (const auto& [key, value] : json_.items()) keys.push_back(key);
    return keys;
}

bool JsonObject::has(const char* key) const { return !value(key).is_null(); }

const Json& JsonObject::value(const char* key) const {
    static const Json null;
    const auto found = json_.find(key);
    return found == json_.end() ? null : *found;
}

template <typename T, typename Is>
T JsonObject::read(const char* key, const std::optional<T>& otherwise, Is is, const char* expected) const {
    const Json& found = value(key);
    if (found.is_null()) {
        require(otherwise.has_value(), "{}: the key {} is missing", where_, key);
        return *otherwise;
    }
    require(is(found), "{}: {} must be {}, not {}", where_, key, expected, shown(found));
    return found.get<T>();
}

bool JsonObject::boolean(const char* key, std::optional<bool> otherwise) const {
    return read(
        key, otherwise, [](const Json& v) { return v.is_boolean(); }, "true or false");
}

int64_t JsonObject::integer(const char* key, std::optional<int64_t> otherwise) const {
    const auto fits = [](const Json& v) {
        return v.is_number_integer() && (!v.is_number_unsigned() || std::in_range<int64_t>(v.get<uint64_t>()));
    };
    return read(key, otherwise, fits, "an integer");
}

double JsonObject::number(const char* key, std::optional<double> otherwise) const {
    return read(
        key, otherwise, [](const Json& v) { return v.is_number(); }, "a number");
}

std::string JsonObject::text(const char* key, const std::optional<std::string>& otherwise) const {
    return read(
        key, otherwise, [](const Json& v) { return v.is_string(); }, "a string");
}

JsonObject JsonObject::object(const char* key) const {
    const auto is_object = [](const Json& v) { return v.is_object(); };
    return of(read(key, std::optional<Json>(Json::object()), is_object, "an object"), where_ + ": " + key);
}

std::vector<JsonObject> JsonObject::objects(const char* key) const {
    const auto is_list = [](const Json& v) {
        return v.is_array() && std::ranges::all_of(v, [](const Json& entry) { return entry.is_object(); });
    };
    Json list = read(key, std::optional<Json>(Json::array()), is_list, "a list of objects");
    std::vector<JsonObject> objects;
    for (Json& entry : list)
        objects.push_back(of(std::move(entry), fmt::format("{}: {}[{}]", where_, key, objects.size())));
    return objects;
}

std::string JsonObject::shown(const Json& value) {
    std::string text = value.dump(-1, ' ', true);
    if (text.size() > kMostShown) text = text.substr(0, kMostShown) + " …";
    return text;
}

}  // namespace dropforge
