// The search for text files under the paths that `prepare` is given.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/file.h"
#include "data/text/byte_source.h"
#include "data/text/left_out.h"

namespace dropforge::data {

enum class TextFormat { plain, markdown, html, json_lines };

struct TextFile {
    fs::path path;
    TextFormat format = TextFormat::plain;
    Codec codec = Codec::none;
    bool named = false;  // given by its path, rather than found in a folder
    uint64_t size = 0;   // on the disk
    int64_t modified = 0;
};

struct TextFiles {
    std::vector<TextFile> files;
    LeftOut left_out;
};

struct ListOptions {
    bool any_ending = false;        // read files of unknown endings, or without one, as plain text
    std::string json_key = "text";  // a .json file whose first line is an object with this key is JSON Lines
    fs::path output;                // a folder whose files are left out
};

/// The text files that `paths` name, in that order; of folders all files, sorted by path, with those of subfolders and
/// links, each once. The ending tells a file's format (docs/text.md). Error for a path that is missing or is no text,
/// and if there is no file at all.
TextFiles list_text_files(std::span<const fs::path> paths, const ListOptions& options = {});

/// Leaves out files whose first bytes, unpacked, are no text: empty, binary or not UTF-8. Error if such a file was
/// named, for damaged compressed data, and if no file remains.
void check_contents(TextFiles& found);

}  // namespace dropforge::data
