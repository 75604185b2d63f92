// What a run of `dropforge pretrain` begins with: --init and model.init, when it is new and when it goes on.
#include <doctest/doctest.h>

#include "engine/safetensors.h"
#include "model/checkpoint/manifest.h"
#include "model/run/folder.h"
#include "tests/support/pretrain_fixture.h"

using namespace dropforge;
using namespace dropforge::test;

TEST_CASE("--init: the weights of another model are refused by tensor, of another vocabulary by token") {
    const Place place;
    succeed(place.command(2));
    const fs::path other = place.folder / "other";
    const auto refused = [&](const fs::path& data, const fs::path& init, const Arguments& more,
                             std::initializer_list<std::string> parts) {
        check_refused(pretrain_arguments(data, other, 4) + more + Arguments{"--init", init.string()}, 1, parts);
        CHECK(!fs::exists(other));
    };
    refused(place.data, place.folder / "none", {}, {"none/config.json", "No such file"});
    refused(place.data, place.checkpoint(2), {"--set", "model.hidden=64"}, {"bert.embeddings.word_embeddings", "64"});
    refused(place.data, place.checkpoint(2), {"--set", "model.layers=3"}, {"bert.encoder.layer.2.", "missing"});
    refused(place.data, place.checkpoint(2), {"--set", "model.layers=1"}, {"bert.encoder.layer.1.", "no part"});
    refused(prepare_data(place.folder / "smaller", 400, 110), place.checkpoint(2), {}, {"vocab.txt", "120", "110"});
    const fs::path same_size = prepare_data(place.folder / "same-size", 400, 120, 2);
    refused(same_size, place.checkpoint(2), {}, {"vocab.txt: token ", "another vocabulary"});
    refused(place.data, place.checkpoint(2), {"--set", "model.init=mimetic"},
            {"model.init (--set) is \"mimetic\"", "--init takes the weights of " + place.checkpoint(2).string()});
    flip_bit(place.checkpoint(2) / "model.safetensors", 3000);
    refused(place.data, place.checkpoint(2), {}, {"model.safetensors", "offset 0", "checksum"});
}

TEST_CASE("--init of a run that goes on: the weights that it began with, wherever they lie") {
    const Place place;
    succeed(place.command(2));
    const fs::path other = place.folder / "caf\xe9", moved = place.folder / "moved";
    const auto command = [&](int64_t steps, const fs::path& init) {
        return pretrain_arguments(place.data, other, steps) + Arguments{"--init", init.string()};
    };
    const auto newest = [&] { return list_checkpoints(other).back().path; };
    succeed(command(2, place.checkpoint(2)));
    succeed(command(3, place.checkpoint(2)));
    fs::rename(place.checkpoint(2), moved);
    succeed(command(4, moved));
    succeed(pretrain_arguments(place.data, other, 5));
    check_refused(command(6, newest()), 1,
                  {"--init " + newest().string(), "goes on from " + newest().string(),
                   "began with the weights of " + place.checkpoint(2).string(), "leave out --init"});
    const fs::path next = place.folder / "next";
    succeed(pretrain_arguments(place.data, next, 2) + Arguments{"--init", newest().string()});
    succeed(pretrain_arguments(place.data, next, 3) + Arguments{"--init", newest().string()});

    const fs::path trainer = newest() / "trainer.safetensors";  // as older versions wrote it
    {
        const SafetensorsFile file(trainer);
        SafetensorsWriter writer;
        for (const auto& [key, value] : file.metadata())
            if (!key.starts_with("initial")) writer.metadata(key, value);
        for (const auto& [name, info] : file.tensors()) writer.add_raw(name, info.dtype, file.bytes(name), info.shape);
        writer.write(trainer);
    }
    fs::remove(newest() / "manifest.json");
    write_manifest(newest());
    check_refused(command(6, moved), 1, {"does not say what weights its run began with", "leave out --init"});
    succeed(pretrain_arguments(place.data, other, 6));
}

TEST_CASE("model.init: recorded and kept on resume; a run folder from before it goes on as normal") {
    const Place place;
    const Arguments mimetic = {"--set", "model.init=mimetic"};
    succeed(place.command(2, mimetic));
    CHECK(contains(read_text(place.out / "config.toml"), "\ninit = \"mimetic\"\n"));
    check_refused(place.command(3), 1, {"model.init is \"mimetic\" there and \"normal\" here"});
    succeed(place.command(3, mimetic));

    const fs::path old = place.folder / "old";
    succeed(pretrain_arguments(place.data, old, 2));
    std::string record = read_text(old / "config.toml");
    const std::string line = "init = \"normal\"\n";
    REQUIRE(contains(record, line));
    record.erase(record.find(line), line.size());
    write_text(old / "config.toml", record.substr(record.find('\n') + 1));  // nor had it a checksum
    check_refused(pretrain_arguments(place.data, old, 3) + mimetic, 1,
                  {"model.init is \"normal\" there and \"mimetic\" here"});
    succeed(pretrain_arguments(place.data, old, 3));
}
