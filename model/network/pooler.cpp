#include "model/network/pooler.h"

namespace dropforge {

namespace {

constexpr const char* kLinear = "pooler";

class Pooler : public Head {
  public:
    const char* title() const override { return "pooler"; }
    const char* hf_prefix() const override { return "bert.pooler."; }
    const char* architecture() const override { return "BertModel"; }
    void add_parameters(ParameterAdder& add) const override {
        add.linear(kLinear, "bert.pooler.dense", add.config().hidden, add.config().hidden);
    }
};

}  // namespace

const HeadPointer& pooler() {
    static const HeadPointer head = std::make_shared<Pooler>();
    return head;
}

PoolerPass pooler_forward(Builder& builder, Tensor rows) {
    const Tensor dense = builder.linear("pooler", rows, builder.parameters.linear(kLinear));
    const PoolerPass p{.rows = rows, .y = builder.activation("pooled", dense.shape)};
    ops::tanh_forward(builder.program, "tanh", dense, p.y);
    return p;
}

Tensor pooler_backward(Builder& builder, const PoolerPass& p, Tensor dy) {
    const Parameters::Linear linear = builder.parameters.linear(kLinear);
    const Tensor ddense = builder.activation("pooler.gradient", p.y.shape);
    ops::tanh_backward(builder.program, "tanh.backward", dy, p.y, ddense, builder.gradient(linear.bias),
                       builder.record_write(linear.bias));
    const Tensor drows = builder.activation("rows.gradient", p.rows.shape);
    builder.linear_backward("pooler", ddense, p.rows, linear, drows);
    return drows;
}

}  // namespace dropforge
