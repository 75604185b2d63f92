// Shards. Their checksums are put right first, since only those keep most changes from the checks behind them.
#include "data/shards/shard.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>

#include "tests/fuzz/fuzzing.h"

using namespace dropforge;
using data::Shard;
using data::ShardHeader;

namespace {

void mend(std::string& bytes) {
    if (bytes.size() < sizeof(ShardHeader)) return;
    ShardHeader header;
    std::memcpy(&header, bytes.data(), sizeof header);
    const uint64_t table = header.checksums_offset;
    if (table >= sizeof header && table <= bytes.size()) {
        uint64_t at = table;
        for (uint64_t begin = sizeof header; begin < table && at + sizeof(uint64_t) <= bytes.size();
             begin += ShardHeader::kBlock, at += sizeof(uint64_t)) {
            const uint64_t sum = XXH64(bytes.data() + begin, std::min(ShardHeader::kBlock, table - begin), 0);
            std::memcpy(bytes.data() + at, &sum, sizeof sum);
        }
        header.table_checksum = XXH64(bytes.data() + table, bytes.size() - table, 0);
    }
    header.file_bytes = bytes.size();
    header.header_checksum = XXH64(&header, offsetof(ShardHeader, header_checksum), 0);
    std::memcpy(bytes.data(), &header, sizeof header);
}

void read_all(const Shard& shard) {
    uint64_t start = 0;
    for (uint64_t d = 0; d < shard.documents(); ++d) {
        fuzzing::hold(shard.document_start(d) >= start, "documents rise");
        start = shard.document_start(d);
    }
    fuzzing::hold(shard.documents() == 0 || shard.document_start(shard.documents()) == shard.tokens(),
                  "the documents end with the tokens");
    std::vector<int32_t> ids(std::min<uint64_t>(shard.tokens(), 1 << 20));
    std::vector<uint8_t> starts(ids.size());
    shard.read(shard.tokens() - ids.size(), ids, starts);
    for (const int32_t id : ids)
        fuzzing::hold(id >= 0 && static_cast<uint64_t>(id) < shard.header().vocabulary_size,
                      "ids are of the vocabulary");
    if (!shard.header().has_sentences()) return;
    shard.each_sentence(0, shard.tokens(),
                        [&](uint64_t token) { fuzzing::hold(token < shard.tokens(), "sentences begin at tokens"); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::string bytes(fuzzing::text_of(data, size));
    mend(bytes);
    const fs::path path = fuzzing::write("train-00000.shard", bytes);
    fuzzing::taken([&] {
        const Shard shard(path);
        shard.verify();
        fuzzing::hold(fuzzing::taken([&] { read_all(shard); }), "a shard that is whole can be read");
    });
    return 0;
}
