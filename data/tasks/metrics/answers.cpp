#include "data/tasks/metrics/answers.h"

#include <algorithm>
#include <iterator>

#include "data/text/letters.h"
#include "data/text/utf8.h"
#include "data/tokenizer/unicode.h"

namespace dropforge::tasks {

namespace {

using Words = std::vector<std::string>;

constexpr std::string_view kPunctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

bool is_article(std::string_view run) { return run == "a" || run == "an" || run == "the"; }

/// Articles that stand alone become a space: runs of letters and numbers that are one.
std::string without_articles(std::string_view text) {
    std::string result, run;
    const auto end_run = [&] {
        result += is_article(run) ? " " : run;
        run.clear();
    };
    for (const char *p = text.data(), *end = p + text.size(); p < end;) {
        const auto [c, size] = data::decode_utf8(p, end);
        if (data::is_letter_or_number(c)) {
            run.append(p, size);
        } else {
            end_run();
            result.append(p, size);
        }
        p += size;
    }
    end_run();
    return result;
}

/// Python's str.split().
Words split(std::string_view text) {
    Words words;
    bool inside = false;
    for (size_t size = 0; !text.empty(); text.remove_prefix(size)) {
        if (data::white_space(text, size) == data::Space::yes) {
            inside = false;
            continue;
        }
        if (!inside) words.emplace_back();
        inside = true;
        words.back() += text.substr(0, size);
    }
    return words;
}

/// Words that both have, as often as both have them.
size_t common(Words a, Words b) {
    std::ranges::sort(a);
    std::ranges::sort(b);
    Words both;
    std::ranges::set_intersection(a, b, std::back_inserter(both));
    return both.size();
}

double f1_of(const Words& gold, const Words& words, SquadVersion version) {
    if (gold.empty() || words.empty()) return version == SquadVersion::v2 && gold == words ? 1 : 0;
    return static_cast<double>(2 * common(gold, words)) / static_cast<double>(gold.size() + words.size());
}

}  // namespace

Words answer_words(std::string_view text) {
    std::string bare = data::in_small_letters(text);
    std::erase_if(bare, [](char c) { return kPunctuation.find(c) != std::string_view::npos; });
    return split(without_articles(bare));
}

AnswerScore score_answer(std::string_view answer, const std::vector<std::string>& gold, SquadVersion version) {
    std::vector<Words> right;
    right.reserve(gold.size());
    for (const std::string& text : gold) right.push_back(answer_words(text));
    if (version == SquadVersion::v2) {
        std::erase_if(right, [](const Words& words) { return words.empty(); });
        if (right.empty()) right.emplace_back();
    }
    const Words words = answer_words(answer);
    AnswerScore best;
    for (const Words& one : right) {
        best.exact = std::max(best.exact, one == words ? 1.0 : 0.0);
        best.f1 = std::max(best.f1, f1_of(one, words, version));
    }
    return best;
}

BestThreshold best_threshold(std::vector<ScoredQuestion> questions) {
    double total = static_cast<double>(std::ranges::count(questions, false, &ScoredQuestion::has_answer));
    BestThreshold best{.score = total};
    std::ranges::stable_sort(questions, {}, &ScoredQuestion::odds);
    for (const ScoredQuestion& question : questions) {
        total += question.has_answer ? question.score : question.is_answered ? -1 : 0;
        if (total > best.score) best = {total, question.odds};
    }
    best.score /= static_cast<double>(questions.size());
    return best;
}

}  // namespace dropforge::tasks
