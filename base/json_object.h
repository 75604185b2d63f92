// JSON that others wrote, read with one clear line for whatever is wrong with it.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"

namespace dropforge {

/// A JSON object whose values are asked for by key and type. A key whose value is null counts as not given. Errors name
/// `where`, the key, what was expected and what came.
class JsonObject {
  public:
    /// Throws Error for what is not a JSON object (parse_json).
    JsonObject(const std::string& text, const std::string& where);
    static JsonObject load(const fs::path& path) { return {read_text(path), path.string()}; }

    /// An empty object where there is no such file.
    static JsonObject load_optional(const fs::path& path) {
        return {fs::exists(path) ? read_text(path) : std::string("{}"), path.string()};
    }

    const std::string& where() const { return where_; }
    size_t size() const { return json_.size(); }
    std::vector<std::string> keys() const;
    bool has(const char* key) const;
    /// The value as it is; null where the key is not given.
    const nlohmann::json& value(const char* key) const;

    /// Throws Error for another type, or for a key that is not given where there is no `otherwise`.
    bool boolean(const char* key, std::optional<bool> otherwise = {}) const;
    int64_t integer(const char* key, std::optional<int64_t> otherwise = {}) const;
    double number(const char* key, std::optional<double> otherwise = {}) const;
    std::string text(const char* key, const std::optional<std::string>& otherwise = {}) const;
    /// The object of a key; an empty one where it is not given.
    JsonObject object(const char* key) const;

    /// The objects of a list; none where it is not given.
    std::vector<JsonObject> objects(const char* key) const;

    /// A value for a message: its JSON, cut short.
    static std::string shown(const nlohmann::json& value);

  private:
    JsonObject() = default;
    /// Of a value that is an object. (As a constructor it would take text for JSON: all converts to it.)
    static JsonObject of(nlohmann::json json, std::string where);
    template <typename T, typename Is>
    T read(const char* key, const std::optional<T>& otherwise, Is is, const char* expected) const;

    nlohmann::json json_;
    std::string where_;
};

}  // namespace dropforge
