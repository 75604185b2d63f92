#include "model/network/embeddings.h"

namespace dropforge {

ops::Embedding embeddings_forward(Builder& builder) {
    const Parameters& p = builder.parameters;
    const int64_t t = builder.options.batch * builder.options.sequence;
    const Program::Scope scope(builder.program, "embeddings");
    ops::Embedding e{.ids = builder.input_ids,
                     .types = builder.token_type_ids,
                     .word = builder.master(p.word),
                     .position = builder.master(p.position),
                     .type = builder.master(p.type),
                     .gain = builder.master(p.embedding_norm.gain),
                     .bias = builder.master(p.embedding_norm.bias),
                     .y = builder.activation("y", {t, builder.config.hidden}),
                     .mean = builder.program.planned("mean", DType::f32, {t}),
                     .rstd = builder.program.planned("rstd", DType::f32, {t}),
                     .sequence = builder.options.sequence,
                     .epsilon = builder.config.epsilon,
                     .dropout = builder.hidden_dropout(kEmbeddingDropout)};
    ops::embedding_forward(builder.program, "forward", e);
    return e;
}

void embeddings_backward(Builder& builder, const ops::Embedding& e, Tensor dy) {
    const Parameters& p = builder.parameters;
    const Program::Scope scope(builder.program, "embeddings");
    ops::embedding_backward(builder.program, "backward", e,
                            {.dy = dy,
                             .dword = builder.gradient_to_add_to("word", p.word),
                             .dposition = builder.gradient(p.position),
                             .dtype = builder.gradient(p.type),
                             .dgain = builder.gradient(p.embedding_norm.gain),
                             .dbias = builder.gradient(p.embedding_norm.bias),
                             .accumulate = builder.record_write(p.position)});
}

}  // namespace dropforge
