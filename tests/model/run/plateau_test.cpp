// A loss that stands on the unigram line: when that is said, and what data says of its causes.
#include "model/run/plateau.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "tests/support/data_fixture.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

constexpr double kEntropy = 6.0;

/// The first step after which the loss stands, of one that is looked at every ten steps; 0: it never does.
template <typename Loss>
int64_t said_at(PlateauWatch watch, int64_t steps, const Loss& loss) {
    for (int64_t step = 10; step <= steps; step += 10)
        if (watch.stands(step, loss(step))) return step;
    return 0;
}

TrainOptions train_options(int64_t steps, int64_t warmup) {
    TrainOptions train;
    train.steps = steps;
    train.warmup_steps = warmup;
    return train;
}

/// Documents of `words` words of one token each, as `next` makes them of a position in all the text.
template <typename Next>
std::vector<Document> documents_of(size_t count, size_t words, const Next& next) {
    std::vector<Document> documents(count);
    size_t at = 0;
    for (Document& d : documents)
        for (size_t i = 0; i < words; ++i) {
            d.ids.push_back(next(at++));
            d.word_starts.push_back(1);
        }
    return documents;
}

DataSigns signs_of(const std::vector<Document>& documents) {
    const TemporaryFolder folder;
    write_dataset(folder / "data", documents, 300, 100000);
    return DataSigns::of(data::Dataset(folder / "data", data::Split::train));
}

}  // namespace

TEST_CASE("the line: after the warm-up, for long") {
    const auto flat = [](double loss) { return [loss](int64_t) { return loss; }; };
    CHECK(said_at({train_options(10000, 500), kEntropy, 0}, 10000, flat(6.0)) == 1500);
    CHECK(said_at({train_options(1500, 100), kEntropy, 0}, 1500, flat(6.0)) == 600);        // a third of the run
    CHECK(said_at({train_options(300, 10), kEntropy, 0}, 300, flat(6.0)) == 210);           // 200 steps at least
    CHECK(said_at({train_options(10000, 500), kEntropy, 2000}, 10000, flat(7.0)) == 3000);  // of a run that goes on
    CHECK(said_at({train_options(10000, 500), kEntropy, 0}, 10000, flat(5.6)) == 0);
    CHECK(said_at({train_options(150, 10), kEntropy, 0}, 150, flat(6.0)) == 0);
    CHECK(said_at({train_options(10000, 500), kEntropy, 0}, 10000, flat(std::numeric_limits<double>::quiet_NaN())) ==
          0);
    CHECK(said_at({train_options(10000, 500), 0, 0}, 10000, flat(0.5)) == 0);  // all tokens are the same
    const auto dips = [](int64_t step) { return step == 1400 ? 5.0 : 6.0; };
    CHECK(said_at({train_options(10000, 500), kEntropy, 0}, 10000, dips) == 2400);
}

TEST_CASE("what data says: order, repetition, unknown tokens") {
    PhiloxStream random(7, 0);
    const auto drawn = [&](size_t) { return 5 + static_cast<int32_t>(random.below(200)); };
    const DataSigns shuffled = signs_of(documents_of(2000, 50, drawn));
    CHECK(std::abs(shuffled.order) < 0.02);
    CHECK(shuffled.repeated == 0);
    CHECK(shuffled.unknown == 0);

    int32_t word = 0;
    const auto follows = [&](size_t) { return 5 + (word = (word * 3 + static_cast<int32_t>(random.below(4))) % 200); };
    CHECK(signs_of(documents_of(2000, 50, follows)).order > 3);  // one of 4 of 200: ln 50 = 3.9

    const auto repeats = [](size_t at) { return 5 + static_cast<int32_t>(at % 50 * (at / 50 % 4 + 1) % 200); };
    const DataSigns repeated = signs_of(documents_of(400, 50, repeats));
    CHECK(repeated.repeated == doctest::Approx(1 - 4.0 / 400));
    CHECK(signs_of(documents_of(40, 3, [](size_t) { return 9; })).repeated == 0);  // too short to tell
}

TEST_CASE("the text: what is likely, what is ruled out") {
    TrainOptions train = train_options(10000, 500);
    const std::string fine = plateau_text(train, 6.01, kEntropy, 500, {.unknown = 0, .repeated = 0.01, .order = 0.9});
    CHECK(contains(fine, "has stood at 6.01 since step 500"));
    CHECK(contains(fine, "likely causes: too few steps"));
    for (const char* part : {"unknown tokens (0.0 % are [UNK])", "repeated documents (1 %)",
                             "shuffled words (a word tells 0.90 nats of the next)", "the rate (train.lr = 0.0001"})
        CHECK(fine.find(part) > fine.find("ruled out"));
    train.lr = 0.1;
    const std::string bad = plateau_text(train, 6.01, kEntropy, 500, {.unknown = 0.4, .repeated = 0.8, .order = 0});
    CHECK(contains(bad, "ruled out: none"));
    for (const char* part : {"40.0 %", "80 %", "0.00 nats", "train.lr = 0.1"})
        CHECK_MESSAGE(bad.find(part) < bad.find("ruled out"), part);
}
