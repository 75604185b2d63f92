#include "model/network/embeddings.h"

namespace dropforge {

ops::Embedding embeddings_forward(Graph& g) {
    const Parameters& p = g.parameters;
    const int64_t t = g.options.batch * g.options.sequence;
    const Program::Scope scope(g.program, "embeddings");
    ops::Embedding e{.ids = g.input_ids,
                     .types = g.token_type_ids,
                     .word = g.master(p.word),
                     .position = g.master(p.position),
                     .type = g.master(p.type),
                     .gain = g.master(p.embedding_norm.gain),
                     .bias = g.master(p.embedding_norm.bias),
                     .y = g.activation("y", {t, g.config.hidden}),
                     .mean = g.program.planned("mean", DType::f32, {t}),
                     .rstd = g.program.planned("rstd", DType::f32, {t}),
                     .sequence = g.options.sequence,
                     .epsilon = g.config.epsilon,
                     .dropout = g.hidden_dropout(kEmbeddingDropout)};
    ops::embedding_forward(g.program, "forward", e);
    return e;
}

void embeddings_backward(Graph& g, const ops::Embedding& e, Tensor dy) {
    const Parameters& p = g.parameters;
    const Program::Scope scope(g.program, "embeddings");
    ops::embedding_backward(g.program, "backward", e,
                            {.dy = dy,
                             .dword = g.gradient_to_add_to("word", p.word),
                             .dposition = g.gradient(p.position),
                             .dtype = g.gradient(p.type),
                             .dgain = g.gradient(p.embedding_norm.gain),
                             .dbias = g.gradient(p.embedding_norm.bias),
                             .accumulate = g.adds(p.position)});
}

}  // namespace dropforge
