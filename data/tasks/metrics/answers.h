// Answers to questions, scored as SQuAD's own scripts do it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dropforge::tasks {

/// The words of an answer that are compared: in small letters, without ASCII's punctuation and the articles a, an, the.
/// `text` is valid UTF-8.
std::vector<std::string> answer_words(std::string_view text);

enum class SquadVersion { v1, v2 };

struct AnswerScore {
    double exact = 0, f1 = 0;
};

/// Against the gold answers, the best of each score. In version 2 the gold answers without a word count as "", and no
/// gold answer at all means that "" is right.
AnswerScore score_answer(std::string_view answer, const std::vector<std::string>& gold, SquadVersion version);

struct BestThreshold {
    double score = 0;  // the mean over all questions
    double threshold = 0;
};

/// What a question adds to the search of a threshold.
struct ScoredQuestion {
    double score;
    bool has_answer, is_answered;  // by the gold file; by the prediction, which is not ""
    double odds;                   // that there is no answer
};

/// The threshold of the odds above which no answer should be given, and the score that it brings: the way of
/// SQuAD 2.0's script, question by question in `questions`' order where odds are equal.
BestThreshold best_threshold(std::vector<ScoredQuestion> questions);

}  // namespace dropforge::tasks
