#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "base/json_object.h"
#include "data/tasks/code_points.h"
#include "data/tasks/formats.h"
#include "data/tasks/lines.h"
#include "data/tasks/table.h"

namespace dropforge::tasks {

namespace {

using Json = nlohmann::json;

/// The list of objects under a key. Throws Error if there is none.
const Json& objects_in(const Json& object, const char* key, const std::string& where) {
    require(object.is_object() && object.contains(key) && object[key].is_array(),
            "{}: expected SQuAD's JSON, found no list {}", where, key);
    for (const Json& entry : object[key])
        require(entry.is_object(), "{}: expected SQuAD's JSON, found {} in {}", where, JsonObject::shown(entry), key);
    return object[key];
}

std::vector<Answer> answers_of(const Json& question, const std::string& where) {
    std::vector<Answer> answers;
    if (!question.contains("answers") || question.value("is_impossible", Json()) == true) return answers;
    for (const Json& answer : objects_in(question, "answers", where)) {
        const Json start = answer.value("answer_start", Json());
        require(start.is_number_unsigned() && std::in_range<int64_t>(start.get<uint64_t>()),
                "{}: answer_start is {}, expected the number of a character", where, JsonObject::shown(start));
        answers.push_back({text_in(answer, "text", where), start.get<int64_t>()});
    }
    return answers;
}

bool stands_at_its_place(const Answer& answer, std::string_view context) {
    return context.substr(byte_of(context, answer.start)).starts_with(answer.text);
}

class SquadReader {
  public:
    SquadReader(const fs::path& path, const ReadOptions& options) : options_(options) { file_.path = path.string(); }

    ExampleFile read() {
        const Json json = parse_json(read_valid_text(file_.path), file_.path);
        for (const Json& article : objects_in(json, "data", file_.path))
            for (const Json& paragraph : objects_in(article, "paragraphs", file_.path)) {
                const std::string context = text_in(paragraph, "context", file_.path);
                for (const Json& question : objects_in(paragraph, "qas", file_.path)) add(question, context);
            }
        return std::move(file_);
    }

  private:
    void add(const Json& question, const std::string& context) {
        Example example{.b = context, .id = text_in(question, "id", file_.path)};
        const std::string where = file_.where(example);
        require(ids_.insert(example.id).second, "{}: two questions have this id", where);
        example.a = text_in(question, "question", where);
        example.answers = answers_of(question, where);
        if (options_.training && !example.answers.empty()) {
            const Answer& first = example.answers[0];
            const bool right = stands_at_its_place(first, context);
            require(right || options_.skip_bad_lines, "{}: the answer \"{}\" does not stand at character {}", where,
                    first.text, first.start);
            if (!right) {
                ++file_.skipped;
                return;
            }
        }
        file_.examples.push_back(std::move(example));
    }

    const ReadOptions& options_;
    ExampleFile file_;
    std::unordered_set<std::string> ids_;
};

}  // namespace

ExampleFile read_squad(const fs::path& path, const ReadOptions& options) { return SquadReader(path, options).read(); }

}  // namespace dropforge::tasks
