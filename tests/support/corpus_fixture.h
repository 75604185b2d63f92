// A small corpus and the options to prepare it with.
#pragma once

#include <fmt/format.h>

#include <map>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/philox.h"
#include "data/prepare/prepare.h"
#include "tests/support/temporary_folder.h"

namespace dropforge::test {

inline const char* const kWords[] = {"the",       "forge", "drops", "tokens", "and",    "layers",     "of",
                                     "attention", "learn", "words", "slowly", "stream", "light",      "iron",
                                     "a",         "river", "hill",  "stone",  "night",  "Caf\xC3\xA9"};

/// Text of `documents` paragraphs with 1 … 60 words.
inline std::string some_text(size_t documents, uint64_t seed) {
    PhiloxStream random(seed, 1);
    std::string text;
    for (size_t d = 0; d < documents; ++d) {
        const uint32_t words = 1 + random.below(60);
        for (uint32_t w = 0; w < words; ++w)
            text += fmt::format("{}{}", w == 0 ? "" : w % 12 == 0 ? "\n" : " ", kWords[random.below(20)]);
        text += "\n\n";
    }
    return text;
}

/// A folder of text, a vocabulary, and the options to prepare it with.
struct Corpus {
    TemporaryFolder folder;
    data::PrepareOptions options;

    explicit Corpus(size_t documents = 400) {
        fs::create_directories(folder / "text/more");
        write_text(folder / "text/a.txt", some_text(documents, 1));
        write_text(folder / "text/more/b.txt", some_text(documents / 2, 2) + "broken \xFF\xFE\xC3 bytes");
        write_text(folder / "text/c.html", "<p>the <b>iron</b> hill</p>\n\n<p>zzz</p>");
        std::string vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n,\n.\ns\n##s\n##ly\nslow\ncafe\n";
        for (const char* word : kWords) {
            const std::string_view text = word;
            if (text != "slowly" && text[0] != 'C') vocabulary += fmt::format("{}\n", text);
        }
        write_text(folder / "vocab.txt", vocabulary);
        options.text = {folder / "text"};
        options.out = folder / "data";
        options.vocabulary = folder / "vocab.txt";
        options.validation_fraction = 0.1;
        options.quiet = true;
    }

    std::vector<std::string> command(const std::string& out = "data") const {
        return {"prepare",
                "--text",
                (folder / "text").string(),
                "--out",
                (folder / out).string(),
                "--vocab",
                (folder / "vocab.txt").string(),
                "--quiet",
                "--threads",
                "2"};
    }
};

/// All files of a folder.
inline std::map<std::string, std::string> contents(const fs::path& folder) {
    std::map<std::string, std::string> files;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder))
        files[entry.path().filename().string()] = read_text(entry.path());
    return files;
}

}  // namespace dropforge::test
