// What the tests of a run's folder share: checkpoints of made-up files.
#pragma once

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "base/philox.h"
#include "model/checkpoint/manifest.h"
#include "model/run/folder.h"
#include "tests/support/temporary_folder.h"

namespace dropforge::test {

inline std::string content(int64_t step, size_t size) {
    std::string text(size, '\0');
    PhiloxStream random(7, static_cast<uint64_t>(step));
    for (char& c : text) c = static_cast<char>(random.next());
    return text;
}

inline void write_plainly(const fs::path& file, const std::string& text) {
    std::ofstream(file, std::ios::binary) << text;
}

inline void fill(const fs::path& folder, int64_t step, size_t size = 100) {
    write_plainly(folder / "model.safetensors", content(step, size));
    write_plainly(folder / "trainer.safetensors", content(step, 2 * size));
    write_plainly(folder / "config.json", "{}\n");
    write_plainly(folder / "vocab.txt", "[PAD]\n");
}

inline Checkpoint save(const RunFolder& run, int64_t step, size_t size = 100) {
    CheckpointWriter writer(run, step);
    fill(writer.path(), step, size);
    return writer.commit();
}

inline void flip(const fs::path& file, uint64_t offset, int bit) {
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekg(static_cast<std::streamoff>(offset));
    const auto byte = static_cast<char>(stream.get() ^ (1 << bit));
    stream.seekp(static_cast<std::streamoff>(offset));
    stream.put(byte);
}

inline std::vector<int64_t> steps(const fs::path& run) {
    std::vector<int64_t> found;
    for (const Checkpoint& checkpoint : list_checkpoints(run)) found.push_back(checkpoint.step);
    return found;
}

inline std::vector<std::string> names_in(const fs::path& folder) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
    std::ranges::sort(names);
    return names;
}

using Steps = std::vector<int64_t>;

/// A run that goes on from its newest checkpoint.
struct BegunRun : RunFolder {
    BegunRun(const fs::path& path, const RunConfig& config, bool resume) : RunFolder(path, config, resume) {
        begin(std::numeric_limits<int64_t>::max());
    }
};

inline std::string toml_of(const fs::path& config) {
    const std::string text = read_text(config);
    return text.substr(text.find('\n') + 1);  // after its checksum
}

}  // namespace dropforge::test
