// Builders, as those of engine/ops.h, of BERT's embeddings: word + position + segment, LayerNorm, dropout.
#pragma once

#include <string>

#include "engine/ops.h"

namespace dropforge::ops {

struct Embedding {
    Tensor ids, types;            // i32 [T]; types may be absent
    Tensor word, position, type;  // f32 [V,h], [P,h], [2,h]
    Tensor gain, bias;            // f32 [h]
    Tensor y, mean, rstd;         // [T,h], f32 [T], f32 [T]
    int64_t sequence;
    float epsilon;
    DropoutSite dropout;
};
struct EmbeddingGradients {
    Tensor dy, dword, dposition, dtype, dgain, dbias;
    bool accumulate;  // all but dword, which always accumulates
};
void embedding_forward(Program& program, const std::string& name, const Embedding& e);
void embedding_backward(Program& program, const std::string& name, const Embedding& e, const EmbeddingGradients& g);

}  // namespace dropforge::ops
