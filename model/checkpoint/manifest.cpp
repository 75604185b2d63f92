#include "model/checkpoint/manifest.h"

#include <xxhash.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <span>

#include "base/error.h"
#include "base/json.h"

namespace dropforge {

namespace {

using Json = nlohmann::json;

constexpr size_t kBlock = size_t{1} << 20;
constexpr const char* kName = "manifest.json";

std::string checksum(const void* data, size_t size) { return fmt::format("{:016x}", XXH64(data, size, 0)); }

std::string checksum(std::span<const std::byte> bytes) { return checksum(bytes.data(), bytes.size()); }

std::span<const std::byte> block(std::span<const std::byte> bytes, size_t index) {
    return bytes.subspan(index * kBlock, std::min(kBlock, bytes.size() - index * kBlock));
}

/// The contents of a manifest that is itself intact; throws Error.
Json read_manifest(const fs::path& folder) {
    const fs::path path = folder / kName;
    require(fs::is_regular_file(path), "{}: missing", path.string());
    const Json json = parse_json(read_text(path), path.string());
    const bool well_formed = json.is_object() && json.contains("contents") && json.contains("xxh64");
    require(well_formed, "{}: not a manifest", path.string());
    const std::string text = json["contents"].dump(), found = checksum(text.data(), text.size());
    require(json["xxh64"] == found, "{}: checksum {} expected, {} found", path.string(), json["xxh64"].dump(), found);
    Json files = json["contents"].at("files");
    for (const char* name : kCheckpointFiles)
        require(files.contains(name), "{}: {} is not listed", path.string(), name);
    for (const auto& [name, entry] : files.items())
        require(is_file_name(name), "{}: \"{}\" must be a file of the same folder", path.string(), name);
    return files;
}

void check_size(const fs::path& path, const Json& entry) {
    require(fs::is_regular_file(path), "{}: missing", path.string());
    const uint64_t expected = count_in(entry, "size"), found = fs::file_size(path);
    require(found == expected, "{}: {} bytes expected, {} found", path.string(), expected, found);
}

void check_bytes(const fs::path& path, const Json& entry) {
    const MappedFile file(path);
    const auto bytes = file.bytes();
    if (checksum(bytes) == entry.at("xxh64")) return;
    for (size_t index = 0; index * kBlock < bytes.size(); ++index) {
        const std::string expected = entry.at("blocks").at(index), found = checksum(block(bytes, index));
        require(expected == found, "{}: bytes changed in the {} from offset {}: checksum {} expected, {} found",
                path.string(), block(bytes, index).size(), index * kBlock, expected, found);
    }
    throw Error("{}: checksum {} expected, {} found", path.string(), entry.at("xxh64").get<std::string>(),
                checksum(bytes));
}

template <typename Check>
std::string first_fault(const fs::path& folder, const Check& check) {
    try {
        const Json files = read_manifest(folder);
        for (const auto& [name, entry] : files.items()) check(folder / name, entry);
    } catch (const Error& error) {
        return error.what();
    } catch (const Json::exception& error) {  // a manifest with a right checksum that was never ours
        return fmt::format("{}: {}", (folder / kName).string(), error.what());
    }
    return {};
}

}  // namespace

void write_manifest(const fs::path& folder) {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder))
        if (entry.is_regular_file() && entry.path().filename() != kName) names.insert(entry.path().filename());
    for (const char* name : kCheckpointFiles)
        require(names.contains(name), "{}: a checkpoint needs {}", folder.string(), name);
    Json files = Json::object();
    for (const std::string& name : names) {
        const MappedFile file(folder / name);
        const auto bytes = file.bytes();
        Json blocks = Json::array();
        for (size_t index = 0; index * kBlock < bytes.size(); ++index) blocks.push_back(checksum(block(bytes, index)));
        files[name] = {{"size", bytes.size()}, {"xxh64", checksum(bytes)}, {"blocks", blocks}};
    }
    const Json contents = {{"files", files}};
    const std::string text = contents.dump();
    write_text(folder / kName,
               Json{{"contents", contents}, {"xxh64", checksum(text.data(), text.size())}}.dump(1) + "\n");
}

std::string damage(const fs::path& folder) {
    return first_fault(folder, [](const fs::path& path, const Json& entry) {
        check_size(path, entry);
        check_bytes(path, entry);
    });
}

void require_intact(const fs::path& folder) {
    if (!fs::exists(folder / kName)) return;
    const std::string fault = damage(folder);
    require(fault.empty(), "{}", fault);
}

std::string missing_part(const fs::path& folder) { return first_fault(folder, check_size); }

}  // namespace dropforge
