// The points of a grid, and the part of a training file to choose among them by.
#include "finetune/config/grid.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <set>

#include "finetune/config/config.h"
#include "finetune/evaluation/held_out.h"
#include "tests/support/message_of.h"

using namespace dropforge;
using namespace dropforge::tasks;
using dropforge::test::message_of;

namespace {

/// key=value of every point.
std::vector<std::string> shown(const std::string& grid) {
    std::vector<std::string> points;
    for (const std::vector<Setting>& point : grid_points(grid)) {
        std::string& text = points.emplace_back();
        for (const Setting& setting : point) text += setting.key + "=" + setting.value + " ";
    }
    return points;
}

std::string grid_error(const std::string& grid) {
    return message_of([&] { grid_points(grid); });
}

ExampleFile labelled(size_t count, int32_t classes) {
    ExampleFile file{.path = "train.tsv", .skipped = 3};
    for (size_t i = 0; i < count; ++i)
        file.examples.push_back({.line = static_cast<int64_t>(i), .classes = {static_cast<int32_t>(i) % classes}});
    return file;
}

std::vector<int64_t> lines(const ExampleFile& file) {
    std::vector<int64_t> lines;
    for (const Example& example : file.examples) lines.push_back(example.line);
    return lines;
}

}  // namespace

TEST_CASE("grid: every point, the last key fastest; train. may be left out") {
    CHECK(shown("lr=1e-5,2e-5,batch=16,32") ==
          std::vector<std::string>{"train.lr=1e-5 train.batch=16 ", "train.lr=1e-5 train.batch=32 ",
                                   "train.lr=2e-5 train.batch=16 ", "train.lr=2e-5 train.batch=32 "});
    CHECK(shown("data.max_length=64") == std::vector<std::string>{"data.max_length=64 "});
    FinetuneConfig config;
    config.set(grid_points("lr=1e-5,2e-5,epochs=4").back());
    CHECK(config.train.lr == 2e-5);
    CHECK(config.train.epochs == 4);
}

TEST_CASE("grid: errors") {
    const std::string expected = "--grid: expected key=value,value,key=value…, got ";
    for (const std::string grid : {"", "1e-5", "lr", "lr=", "lr=1e-5,", "lr=1,,2", "lr=,batch=3"})
        CHECK(grid_error(grid) == expected + grid);
    CHECK(grid_error("lr=1,train.lr=2") == "--grid: train.lr is there twice");
    FinetuneConfig config;
    CHECK(message_of([&] { config.set(grid_points("lrr=1")[0]); }) ==
          "--grid: there is no key train.lrr; the nearest is train.lr");
}

TEST_CASE("held out: one in ten, in the order of the file, as many of each class, by the seed") {
    std::set<std::vector<int64_t>> splits;
    for (const int64_t seed : {1, 2, 3}) {
        const HeldOut parts = hold_out(labelled(200, 4), seed);
        CHECK(parts.held_out.examples.size() == 20);
        CHECK(parts.training.skipped == 3);
        CHECK(parts.training.path == "train.tsv");
        std::array<int, 4> count{};
        for (const Example& example : parts.held_out.examples) ++count[static_cast<size_t>(example.classes[0])];
        for (const int of_class : count) CHECK(of_class == 5);
        std::vector<int64_t> all = lines(parts.training), held_out = lines(parts.held_out);
        CHECK(std::ranges::is_sorted(all));
        CHECK(std::ranges::is_sorted(held_out));
        all.insert(all.end(), held_out.begin(), held_out.end());
        std::ranges::sort(all);
        for (size_t i = 0; i < 200; ++i) CHECK(all[i] == static_cast<int64_t>(i));
        CHECK(lines(hold_out(labelled(200, 4), seed).held_out) == held_out);
        splits.insert(held_out);
    }
    CHECK(splits.size() == 3);
}

TEST_CASE("held out: few examples, none to divide, and answers that stay together") {
    for (int64_t seed = 0; seed < 20; ++seed) {
        CHECK(hold_out(labelled(2, 2), seed).held_out.examples.size() == 1);
        CHECK(hold_out(labelled(9, 2), seed).held_out.examples.size() == 1);
        ExampleFile answers = labelled(60, 2);
        for (size_t i = 0; i < 60; ++i) answers.examples[i].group = "question " + std::to_string(i % 20);
        std::set<std::string> groups;
        const HeldOut parts = hold_out(answers, seed);
        CHECK(parts.held_out.examples.size() == 6);
        for (const Example& example : parts.held_out.examples) groups.insert(example.group);
        CHECK(groups.size() == 2);
    }
    CHECK(message_of([] { hold_out(labelled(1, 2), 1); }) ==
          "train.tsv: one example cannot be divided into training and held out");
    ExampleFile sentences{.path = "train.conll"};
    for (size_t i = 0; i < 30; ++i) sentences.examples.push_back({.classes = {0}, .words = {"a"}});
    CHECK(hold_out(sentences, 1).held_out.examples.size() == 3);
}
