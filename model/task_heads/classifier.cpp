#include "model/task_heads/classifier.h"

namespace dropforge {

ClassifierPass classifier_forward(Builder& builder, const std::string& parameter, Tensor rows, float dropout) {
    ClassifierPass c{.linear = builder.parameters.linear(parameter),
                     .dropout = builder.dropout(kClassifierDropout, dropout),
                     .rows_per_sequence = rows.shape[0] / builder.options.batch,
                     .x = rows};
    if (c.dropout.active()) {
        c.x = builder.activation("dropout", rows.shape);
        ops::dropout(builder.program, "dropout", rows, c.x, c.rows_per_sequence, c.dropout);
    }
    const Tensor weight = builder.weight(c.linear.weight);
    c.logits = builder.program.planned("logits", DType::f32, {rows.shape[0], weight.shape[0]});
    ops::gemm(builder.program, "classifier",
              {.a = c.x, .b = weight, .c = c.logits, .bias = builder.master(c.linear.bias), .transpose_b = true});
    return c;
}

Tensor classifier_backward(Builder& builder, const ClassifierPass& c) {
    Tensor dlogits = c.logits;
    if (builder.options.dtype != DType::f32) {  // GEMMs take operands of one type
        dlogits = builder.activation("logits.gradient", c.logits.shape);
        ops::cast(builder.program, "logits.cast", c.logits, dlogits);
    }
    builder.weight_and_bias_gradient("classifier", dlogits, c.x, c.linear);
    const Tensor dx = builder.activation("classifier.rows_gradient", c.x.shape);
    builder.input_gradient("classifier", dlogits, c.linear, dx);
    if (c.dropout.active()) ops::dropout(builder.program, "dropout.backward", dx, dx, c.rows_per_sequence, c.dropout);
    return dx;
}

}  // namespace dropforge
