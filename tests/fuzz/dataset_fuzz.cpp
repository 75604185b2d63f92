// dataset.json.
#include <nlohmann/json.hpp>

#include "data/shards/receipt.h"
#include "tests/fuzz/fuzzing.h"

using namespace dropforge;
using data::Receipt;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    fuzzing::write(Receipt::kFile, fuzzing::text_of(data, size));
    Receipt receipt;
    if (!fuzzing::taken([&] { receipt = Receipt::load(fuzzing::folder()); })) return 0;
    receipt.text();
    receipt.save(fuzzing::folder());
    fuzzing::hold(Receipt::load(fuzzing::folder()).json() == receipt.json(), "it reads back as it was written");
    for (const data::Split split : {data::Split::train, data::Split::validation})
        for (const data::ShardEntry& shard : receipt.shards(split))
            fuzzing::hold(fs::path(shard.file).filename() == shard.file, "no name leads out of the folder");
    return 0;
}
