// A training batch as plain arrays: the loader's output, and the content of a Program's inputs.
#pragma once

#include <cstdint>
#include <vector>

namespace dropforge::data {

struct Batch {
    int64_t sequences = 0, length = 0, masked = 0;   // B, S, M
    std::vector<int32_t> input_ids = {};             // [B,S] after masking; positions ≥ length hold [PAD]
    std::vector<int32_t> token_type_ids = {};        // [B,S]; empty: all 0
    std::vector<int32_t> lengths = {};               // [B]; empty: all S
    std::vector<int32_t> masked_positions = {};      // [B,M]
    std::vector<int32_t> masked_labels = {};         // [B,M]
    std::vector<float> masked_weights = {};          // [B,M] 1, or 0 for an unused slot (any valid position and label)
    std::vector<int32_t> next_sentence_labels = {};  // [B] 0: B follows A, else 1; empty: no NSP
};

}  // namespace dropforge::data
