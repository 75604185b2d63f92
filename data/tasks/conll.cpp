#include "base/error.h"
#include "data/tasks/formats.h"
#include "data/tasks/lines.h"

namespace dropforge::tasks {

ExampleFile read_conll(const fs::path& path) {
    static constexpr const char* kBlank = " \t";
    ExampleFile file{.path = path.string()};
    Example sentence;
    const auto end_sentence = [&] {
        if (!sentence.words.empty()) file.examples.push_back(std::move(sentence));
        sentence = {};
    };
    const std::string text = read_valid_text(path);
    for_each_line(text, [&](int64_t number, std::string_view line) {
        if (line.starts_with("-DOCSTART-")) return;
        const size_t first = line.find_first_not_of(kBlank);
        if (first == std::string_view::npos) {
            end_sentence();
            return;
        }
        line = line.substr(first, line.find_last_not_of(kBlank) + 1 - first);
        const size_t word_end = line.find_first_of(kBlank);
        require(word_end != std::string_view::npos, "{}:{}: 1 column, expected a word and a label", file.path, number);
        if (sentence.words.empty()) sentence.line = number;
        sentence.words.emplace_back(line.substr(0, word_end));
        sentence.labels.emplace_back(line.substr(line.find_last_of(kBlank) + 1));
    });
    end_sentence();
    return file;
}

}  // namespace dropforge::tasks
