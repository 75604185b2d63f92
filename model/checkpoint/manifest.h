// manifest.json of a checkpoint: size and xxHash64 of each of its files, so that a damaged one is never trained from.
#pragma once

#include "base/file.h"

namespace dropforge {

/// The files without which a checkpoint is incomplete.
inline constexpr const char* kCheckpointFiles[] = {"model.safetensors", "trainer.safetensors", "config.json",
                                                   "vocab.txt"};

/// Writes FOLDER/manifest.json over all regular files of the folder. Throws Error if one of kCheckpointFiles is
/// missing.
/// {"xxh64": of the next value's dump, "contents": {"files": {NAME: {"size", "xxh64", "blocks": [xxh64 of each 1
/// MiB]}}}} [one a block]}}}}
void write_manifest(const fs::path& folder);

/// "" if every file is as the manifest says (other files don't matter), else what is wrong in one line: the file, for
/// changed bytes the offset of the first wrong block, the expected and the found checksum. Reads every byte.
std::string damage(const fs::path& folder);

/// Throws Error with damage() if the folder is a checkpoint (has a manifest.json). A model folder of others has no
/// checksums and passes.
void require_intact(const fs::path& folder);

/// As damage(), but looks at names and sizes only.
std::string missing_part(const fs::path& folder);

}  // namespace dropforge
