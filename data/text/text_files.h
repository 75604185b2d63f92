// Which files are text: what lies under the paths that `prepare` is given, and what of it is left out, by reason.
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
    bool named = false;  // given by its path, not found in a folder
    uint64_t size = 0;   // on the disk
    int64_t modified = 0;
};

struct TextFiles {
    std::vector<TextFile> files;
    LeftOut left_out;
};

struct ListOptions {
    bool any_ending = false;        // files of other endings, and of none, are plain text too
    std::string json_key = "text";  // of an object in the first line: then .json is JSON Lines
    fs::path output;                // a folder whose files are never text
};

/// The files that `paths` name, in that order; folders give all theirs, subfolders and what is linked to included,
/// sorted by path. What a file is, its ending says (docs/text.md); nothing is read twice. Throws Error for a path that
/// is missing or no text, and if there is no file at all.
TextFiles list_text_files(std::span<const fs::path> paths, const ListOptions& options = {});

/// Leaves out those whose first bytes, unpacked, are no text: empty, binary or not UTF-8. Throws Error for one that was
/// named, for damaged compressed data, and if no file is left.
void check_contents(TextFiles& found);

}  // namespace dropforge::data
