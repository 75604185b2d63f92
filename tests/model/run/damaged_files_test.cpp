// Every kind of file that the programs write, with a flipped bit or cut short at 1000 places each: refused, or read as
// what it was (docs/file-formats.md, "What guards what").
#include <doctest/doctest.h>

#include <fstream>
#include <functional>

#include "data/shards/dataset.h"
#include "model/checkpoint/huggingface.h"
#include "model/run/folder.h"
#include "model/run/metrics.h"
#include "tests/support/pretrain_fixture.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

constexpr int kPlaces = 1000;

void overwrite(const fs::path& path, std::string_view bytes) { std::ofstream(path, std::ios::binary) << bytes; }

struct Counts {
    int refused = 0, same = 0, other = 0;  // other: read as something else
};

/// `read` gives what a reader makes of the file, or throws Error.
Counts damage_and_read(const fs::path& path, const std::function<std::string()>& read) {
    const std::string intact = read_text(path), expected = read();
    PhiloxStream random(11, intact.size());
    Counts counts;
    const auto try_with = [&](const std::string& bytes) {
        overwrite(path, bytes);
        std::string found;
        try {
            found = read();
        } catch (const Error&) {
            ++counts.refused;
            return;
        }
        ++(found == expected ? counts.same : counts.other);
    };
    for (int i = 0; i < kPlaces; ++i) {
        std::string flipped = intact;
        char& byte = flipped[random.below(static_cast<uint32_t>(intact.size()))];
        byte = static_cast<char>(byte ^ 1 << random.below(8));
        try_with(flipped);
        try_with(intact.substr(0, random.below(static_cast<uint32_t>(intact.size()))));
    }
    overwrite(path, intact);
    CHECK(read() == expected);
    MESSAGE(path.filename().string(), ": ", counts.refused, " refused, ", counts.same, " harmless, ", counts.other,
            " read as something else");
    return counts;
}

void check_guarded(const fs::path& path, const std::function<std::string()>& read) {
    const Counts counts = damage_and_read(path, read);
    CHECK_MESSAGE(counts.other == 0, path);
    CHECK(counts.refused > kPlaces);
}

/// A run of two steps of a tiny model; its checkpoints are small.
struct FinishedRun {
    TemporaryFolder folder;
    fs::path data = prepare_data(folder.path(), 100, 110), out = folder / "run";
    fs::path checkpoint = out / "checkpoints/step-00000002";

    FinishedRun() {
        succeed({"pretrain",
                 "bert-tiny",
                 "--quiet",
                 "--data",
                 data.string(),
                 "--out",
                 out.string(),
                 "--steps",
                 "2",
                 "--batch",
                 "2",
                 "--sequence",
                 "16",
                 "--set",
                 "model.hidden=4",
                 "--set",
                 "model.layers=1",
                 "--set",
                 "model.heads=1",
                 "--set",
                 "model.max_positions=16",
                 "--set",
                 "log.every=1"});
    }
};

std::string text_of(const data::Dataset& dataset) {
    std::vector<int32_t> ids(dataset.stream_length());
    std::vector<uint8_t> starts(ids.size());
    dataset.read(0, ids, starts);
    std::string text(reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof ids[0]);
    return text.append(starts.begin(), starts.end());
}

}  // namespace

TEST_CASE("a data folder: shards, vocab.txt, dataset.json") {
    const FinishedRun run;
    const auto read = [&] {
        const data::Dataset dataset(run.data, data::Split::train);
        return data::Receipt::load(run.data).json().dump() + read_text(dataset.vocabulary_path()) + text_of(dataset);
    };
    for (const char* name : {"train-00000.shard", "vocab.txt", "dataset.json"}) check_guarded(run.data / name, read);
}

TEST_CASE("a checkpoint: each of its files, and the manifest that guards them") {
    const FinishedRun run;
    for (const auto& entry : fs::directory_iterator(run.checkpoint)) {
        const fs::path path = entry.path();
        check_guarded(path, [&] {
            find_checkpoint(run.out, run.checkpoint.string());
            return path.filename() == "manifest.json" ? std::string() : read_text(path);  // its own text is no content
        });
    }
}

TEST_CASE("a run: config.toml; of metrics.jsonl no other line is lost") {
    const FinishedRun run;
    check_guarded(run.out / "config.toml", [&] { return recorded_config(run.out)->to_toml(); });
    const fs::path metrics = run.out / "metrics.jsonl", aside = run.out / "set-aside-metrics.jsonl";
    const auto lines_of = [](const std::string& text) {
        std::multiset<std::string> lines;
        std::istringstream stream(text);
        for (std::string line; std::getline(stream, line);) lines.insert(line);
        return lines;
    };
    const std::string intact = read_text(metrics);
    PhiloxStream random(12, 0);
    for (int i = 0; i < kPlaces; ++i) {
        std::string flipped = intact;
        char& byte = flipped[random.below(static_cast<uint32_t>(intact.size()))];
        byte = static_cast<char>(byte ^ 1 << random.below(8));
        overwrite(metrics, flipped);
        fs::remove(aside);
        try {
            const MetricsLog log(run.out, 1, false);
        } catch (const Error&) {
            CHECK(read_text(metrics) == flipped);
            continue;
        }
        const auto left = lines_of(read_text(metrics) + (fs::exists(aside) ? read_text(aside) : ""));
        for (const std::string& line : lines_of(flipped))
            CHECK_MESSAGE((left.contains(line) || !nlohmann::json::accept(line) || !contains(line, "\"step\"")), line);
    }
}

TEST_CASE("a model folder of others has no checksums: it is refused or read, and its weights may be other numbers") {
    const FinishedRun run;
    fs::remove(run.checkpoint / "manifest.json");
    const auto shapes = [&] {
        const Model model = load_model(run.checkpoint);
        std::string text;
        for (const HfTensor& t : model.parameters.tensors()) text += t.name + t.shape.text();
        return text;
    };
    for (const char* name : {"model.safetensors", "config.json"}) {
        const Counts counts = damage_and_read(run.checkpoint / name, shapes);
        CHECK(counts.refused > kPlaces / 2);
        if (std::string(name) == "model.safetensors") CHECK(counts.other == 0);
    }
}
