#include "data/tasks/metrics/predictions.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "base/error.h"
#include "base/json.h"
#include "base/json_object.h"
#include "data/tasks/formats.h"
#include "data/tasks/lines.h"
#include "data/tasks/table.h"

namespace dropforge::tasks {

namespace {

using Json = nlohmann::json;

void require_as_many(const ExampleFile& predicted, const ExampleFile& evaluated) {
    require(predicted.examples.size() == evaluated.examples.size(), "{}: {} predictions for the {} examples of {}",
            predicted.path, predicted.examples.size(), evaluated.examples.size(), evaluated.path);
}

ExampleFile read_tsv_predictions(const fs::path& path, const ExampleFile& evaluated) {
    const auto choose = [](const std::vector<std::string>& first, const std::string& where) {
        return columns_of_header({{"prediction"}, {"index"}}, first, where);
    };
    const Table table = read_tsv(path, choose, false);
    ExampleFile file{.path = table.path};
    for (const Row& row : table.rows) {
        const std::string index = std::to_string(file.examples.size());
        require(row.values[1] == index, "{}:{}: index {}, expected {}", file.path, row.line, row.values[1], index);
        file.examples.push_back({.line = row.line, .labels = {std::string(stripped(row.values[0]))}});
    }
    require_as_many(file, evaluated);
    for (size_t i = 0; i < file.examples.size(); ++i) file.examples[i].choices = evaluated.examples[i].choices;
    return file;
}

ExampleFile read_conll_predictions(const fs::path& path, const ExampleFile& evaluated) {
    ExampleFile file = read_conll(path);
    for (size_t i = 0; i < std::min(file.examples.size(), evaluated.examples.size()); ++i) {
        const Example &sentence = file.examples[i], &gold = evaluated.examples[i];
        for (size_t w = 0; w < std::min(sentence.words.size(), gold.words.size()); ++w)
            if (sentence.words[w] != gold.words[w])
                throw Error("{}: the word {}, expected {} as in {}", file.where(sentence, w), sentence.words[w],
                            gold.words[w], evaluated.where(gold, w));
        if (sentence.words.size() != gold.words.size())
            throw Error("{}: a sentence of {} words, expected {} as in {}", file.where(sentence), sentence.words.size(),
                        gold.words.size(), evaluated.where(gold));
    }
    require_as_many(file, evaluated);
    return file;
}

/// The values of an object of questions' ids, in the order of the questions; `keys` gets the ids in the object's.
std::vector<Json> by_question(const fs::path& path, const ExampleFile& evaluated, bool (Json::*is)() const noexcept,
                              const char* expected, std::vector<std::string>& keys) {
    const Json json = parse_json(read_valid_text(path), path.string(), &keys);
    require(json.is_object(), "{}: not a JSON object", path.string());
    std::vector<Json> values;
    for (const Example& question : evaluated.examples) {
        const auto found = json.find(question.id);
        require(found != json.end(), "{}: {}: missing, expected {}", path.string(), question.id, expected);
        require(((*found).*is)(), "{}: {}: {}, expected {}", path.string(), question.id, JsonObject::shown(*found),
                expected);
        values.push_back(*found);
    }
    require(keys.size() == evaluated.examples.size(), "{}: {} predictions for the {} questions of {}", path.string(),
            keys.size(), evaluated.examples.size(), evaluated.path);
    return values;
}

ExampleFile read_answers(const fs::path& path, const ExampleFile& evaluated) {
    ExampleFile file{.path = path.string()};
    std::vector<std::string> keys;
    for (const Json& text : by_question(path, evaluated, &Json::is_string, "text", keys)) {
        const std::string& id = evaluated.examples[file.examples.size()].id;
        file.examples.push_back({.id = id, .answers = {{text.get<std::string>(), 0}}});
    }
    return file;
}

}  // namespace

ExampleFile read_predictions(const Task& task, const fs::path& path, const ExampleFile& evaluated) {
    if (task.kind == Kind::span) return read_answers(path, evaluated);
    return task.kind == Kind::token ? read_conll_predictions(path, evaluated) : read_tsv_predictions(path, evaluated);
}

Predictions predictions_of(const Task& task, ExampleFile file) {
    Predictions predictions;
    for (Example& example : file.examples) {
        switch (task.kind) {
            case Kind::regression:
                predictions.values.push_back(example.value);
                break;
            case Kind::token:
                predictions.tags.push_back(std::move(example.classes));
                break;
            case Kind::span:
                predictions.answers.push_back(std::move(example.answers[0].text));
                break;
            default:
                predictions.classes.push_back(example.classes[0]);
        }
    }
    return predictions;
}

NullOdds read_null_odds(const fs::path& path, const ExampleFile& evaluated) {
    NullOdds null;
    std::vector<std::string> keys;
    for (const Json& odds : by_question(path, evaluated, &Json::is_number, "a number", keys))
        null.odds.push_back(odds.get<double>());
    std::unordered_map<std::string, size_t> places;
    for (size_t i = 0; i < evaluated.examples.size(); ++i) places[evaluated.examples[i].id] = i;
    for (const std::string& id : keys) null.order.push_back(places.at(id));
    return null;
}

}  // namespace dropforge::tasks
