#include "data/tasks/unlabelled.h"

#include "base/error.h"
#include "data/tasks/formats.h"
#include "data/tasks/table.h"
#include "data/text/utf8.h"

namespace dropforge::tasks {

namespace {

std::vector<std::string> words_of(std::string_view line) {
    std::vector<std::string> words;
    bool in_word = false;
    for (size_t at = 0, size = 0; at < line.size(); at += size) {
        const bool is_blank = data::white_space(line.substr(at), size) == data::Space::yes;
        if (!is_blank) {
            if (!in_word) words.emplace_back();
            words.back() += line.substr(at, size);
        }
        in_word = !is_blank;
    }
    return words;
}

void require_texts(Kind kind, size_t count, const std::string& where) {
    if (kind == Kind::choice)
        require(count >= 3, "{}: {} columns, expected a text and two choices or more, with tabs between", where, count);
    else
        require(count <= 2, "{}: {} columns, expected a text, or two with a tab between", where, count);
}

Example text_example(Kind kind, int64_t line, std::vector<std::string> texts) {
    Example example{.line = line, .a = std::move(texts[0])};
    if (kind == Kind::choice)
        example.choices.assign(std::make_move_iterator(texts.begin() + 1), std::make_move_iterator(texts.end()));
    else if (texts.size() == 2)
        example.b = std::move(texts[1]);
    return example;
}

}  // namespace

ExampleFile read_unlabelled(Kind kind, const fs::path& path) {
    if (kind == Kind::span) return read_squad(path, {});
    ExampleFile file{.path = path.string()};
    size_t width = 0;  // of the first line
    const std::string text = read_valid_text(path);
    for_each_line(text, [&](int64_t number, std::string_view line) {
        if (kind == Kind::token) {
            file.examples.push_back({.line = number, .words = words_of(line)});
            return;
        }
        std::vector<std::string> texts = fields_of(line);
        const std::string where = fmt::format("{}:{}", file.path, number);
        if (width == 0) {
            width = texts.size();
            require_texts(kind, width, where);
        }
        require(texts.size() == width, "{}: {} columns, expected {} as in the first line", where, texts.size(), width);
        file.examples.push_back(text_example(kind, number, std::move(texts)));
    });
    return file;
}

}  // namespace dropforge::tasks
