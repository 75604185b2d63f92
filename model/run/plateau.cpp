#include "model/run/plateau.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <unordered_set>
#include <vector>

#include "base/philox.h"

namespace dropforge {

namespace {

constexpr double kShareOfLine = 0.95;
constexpr double kLeastEntropy = 0.1;  // nats; below, frequencies are all that there is to learn
constexpr uint64_t kTokensRead = uint64_t{1} << 21;
constexpr size_t kShortestDocument = 4;  // shorter ones are alike by chance: headings, numbers

// A sign is a cause where it is beyond these. A rate in this range has trained BERTs from tiny to large.
constexpr double kMuchUnknown = 0.05, kMuchRepeated = 0.3, kLittleOrder = 0.1;
constexpr double kLowRate = 1e-5, kHighRate = 3e-3;

double share_of_repeated(std::span<const int32_t> stream) {
    std::unordered_set<std::u32string> seen;
    double repeated = 0, all = 0;
    std::u32string document;
    for (const int32_t id : stream) {
        if (id != data::Dataset::kSeparator) {
            document += static_cast<char32_t>(id);
            continue;
        }
        if (document.size() >= kShortestDocument) {
            all += static_cast<double>(document.size());
            if (!seen.insert(document).second) repeated += static_cast<double>(document.size());
        }
        document.clear();
    }
    return all > 0 ? repeated / all : 0;
}

/// Σ over the different values of −p·ln p. Sorts them.
template <typename T>
double entropy(std::vector<T> values) {
    std::ranges::sort(values);
    double sum = 0;
    const auto n = static_cast<double>(values.size());
    for (size_t begin = 0, end; begin < values.size(); begin = end) {
        for (end = begin; end < values.size() && values[end] == values[begin];) ++end;
        const double p = static_cast<double>(end - begin) / n;
        sum -= p * std::log(p);
    }
    return sum;
}

double mutual_information(const std::vector<uint32_t>& left, const std::vector<uint32_t>& right) {
    std::vector<uint64_t> pairs(left.size());
    for (size_t i = 0; i < pairs.size(); ++i) pairs[i] = uint64_t{left[i]} << 32 | right[i];
    return entropy(left) + entropy(right) - entropy(std::move(pairs));
}

double order_of(std::span<const int32_t> stream, std::span<const uint8_t> word_starts) {
    std::vector<uint32_t> left, right;
    for (size_t i = 1; i < stream.size(); ++i) {
        if (word_starts[i] == 0 || stream[i] < 0 || stream[i - 1] < 0) continue;
        left.push_back(static_cast<uint32_t>(stream[i - 1]));
        right.push_back(static_cast<uint32_t>(stream[i]));
    }
    if (left.empty()) return 0;
    const double told = mutual_information(left, right);
    PhiloxStream random(0, 0);
    for (size_t i = right.size() - 1; i > 0; --i)
        std::swap(right[i], right[random.below(static_cast<uint32_t>(i + 1))]);
    return told - mutual_information(left, right);
}

}  // namespace

PlateauWatch::PlateauWatch(const TrainOptions& train, double unigram_entropy, int64_t step)
    : line_(unigram_entropy > kLeastEntropy ? kShareOfLine * unigram_entropy : std::numeric_limits<double>::infinity()),
      patience_(std::max<int64_t>(200, std::min<int64_t>(1000, train.steps / 3))),
      since_(std::max(train.warmup(), step)) {}

bool PlateauWatch::stands(int64_t step, double loss) {
    if (!(loss >= line_)) since_ = std::max(since_, step);  // also for a loss that is NaN
    return step - since_ >= patience_;
}

DataSigns DataSigns::of(const data::Dataset& dataset) {
    const data::Receipt receipt = data::Receipt::load(dataset.folder());
    std::vector<int32_t> stream(std::min(dataset.stream_length(), kTokensRead));
    std::vector<uint8_t> word_starts(stream.size());
    dataset.read(0, stream, word_starts);
    return {static_cast<double>(receipt.unknown_tokens) / static_cast<double>(std::max<uint64_t>(receipt.tokens, 1)),
            share_of_repeated(stream), order_of(stream, word_starts)};
}

std::string plateau_text(const TrainOptions& train, double loss, double unigram_entropy, int64_t since,
                         const DataSigns& signs) {
    std::vector<std::string> causes, ruled_out;
    const auto weigh = [&](bool is_cause, std::string text) {
        std::vector<std::string>& list = is_cause ? causes : ruled_out;
        list.push_back(std::move(text));
    };
    weigh(signs.unknown > kMuchUnknown, fmt::format("unknown tokens ({:.1f} % are [UNK])", 100 * signs.unknown));
    weigh(signs.repeated > kMuchRepeated, fmt::format("repeated documents ({:.0f} %)", 100 * signs.repeated));
    weigh(signs.order < kLittleOrder,
          fmt::format("shuffled words (a word tells {:.2f} nats of the next)", std::max(signs.order, 0.0)));
    weigh(train.lr < kLowRate || train.lr > kHighRate,
          fmt::format("the rate (train.lr = {}; usual are {} to {})", train.lr, kLowRate, kHighRate));
    return fmt::format(
        "the loss has stood at {:.2f} since step {}: a model that knows only how frequent each token is has {:.2f}\n"
        "  likely causes: {}\n"
        "  ruled out: {}",
        loss, since, unigram_entropy,
        causes.empty() ? "too few steps or too small a batch so far; small models leave this line sooner with "
                         "--set model.init=mimetic"
                       : fmt::format("{}", fmt::join(causes, ", ")),
        ruled_out.empty() ? "none" : fmt::format("{}", fmt::join(ruled_out, ", ")));
}

}  // namespace dropforge
