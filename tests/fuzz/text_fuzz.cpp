// Text files of the ending DROPFORGE_ENDING, as `prepare` finds and reads them.
#include "data/text/text_reader.h"
#include "tests/fuzz/fuzzing.h"

using namespace dropforge;
using namespace dropforge::data;

namespace {

/// The documents of a file, in pieces of about `piece_bytes`; what is unpacked of a small file may be endless.
std::string documents_of(const fs::path& path, size_t piece_bytes) {
    constexpr size_t kEnough = size_t{1} << 22;
    const fs::path paths[] = {path};
    TextReader reader(list_text_files(paths).files, {}, piece_bytes);
    std::string all;
    std::vector<DocumentPart> parts;
    for (TextPiece piece; all.size() < kEnough && reader.next(piece);) {
        make_text(piece);
        std::string again = piece.text;
        fuzzing::hold(replace_invalid_utf8(again) == 0, "text is UTF-8");
        split_documents(piece, parts);
        fuzzing::hold(!parts.empty() && parts.back().ends == piece.ends_file, "a file's end ends a document");
        for (const DocumentPart& part : parts) all.append(part.text).append(part.ends ? "\n<end>\n" : "");
    }
    return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const fs::path path = fuzzing::write("input." DROPFORGE_ENDING, fuzzing::text_of(data, size));
    fuzzing::taken([&] { documents_of(path, size_t{1} << 20); });
    return 0;
}
