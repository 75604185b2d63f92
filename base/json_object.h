// Typed access to JSON from foreign files, with one clear line for each error.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"

namespace dropforge {

/// A JSON object whose values are read by key and type. A key whose value is null counts as absent. Errors name
/// `where`, the key, what was expected and what came.
class JsonObject {
  public:
    /// Parses `text` (parse_json). Error if it is not a JSON object.
    JsonObject(const std::string& text, const std::string& where);
    static JsonObject load(const fs::path& path) { return {read_text(path), path.string()}; }

    /// The object of a file; an empty one if there is no such file.
    static JsonObject load_optional(const fs::path& path) {
        return {fs::exists(path) ? read_text(path) : std::string("{}"), path.string()};
    }

    /// The objects of a list, which is all that `text` has. Error if it is not such a list.
    static std::vector<JsonObject> list(const std::string& text, const std::string& where);

    const std::string& where() const { return where_; }
    size_t size() const { return json_.size(); }
    std::vector<std::string> keys() const;
    bool has(const char* key) const;
    /// The JSON value; null if the key is absent.
    const nlohmann::json& value(const char* key) const;

    /// The value, or `otherwise` if the key is absent. Error for another type, or for an absent key without
    /// `otherwise`.
    bool boolean(const char* key, std::optional<bool> otherwise = {}) const;
    int64_t integer(const char* key, std::optional<int64_t> otherwise = {}) const;
    double number(const char* key, std::optional<double> otherwise = {}) const;
    std::string text(const char* key, const std::optional<std::string>& otherwise = {}) const;
    /// The object of a key; an empty one if the key is absent.
    JsonObject object(const char* key) const;

    /// The objects of a list; none if the key is absent.
    std::vector<JsonObject> objects(const char* key) const;

    /// A value for a message: its JSON, shortened.
    static std::string shown(const nlohmann::json& value);

  private:
    JsonObject() = default;
    /// Wraps a value that is an object. (As a constructor it would accept text, which converts to JSON.)
    static JsonObject of(nlohmann::json json, std::string where);
    template <typename T, typename Is>
    T read(const char* key, const std::optional<T>& otherwise, Is is, const char* expected) const;

    nlohmann::json json_;
    std::string where_;
};

}  // namespace dropforge
