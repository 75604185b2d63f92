#include "model/network/builder.h"

#include "base/error.h"
#include "model/network/names.h"

namespace dropforge {

Builder::Builder(Program& program, const Parameters& parameters, const BuildOptions& options)
    : program(program),
      parameters(parameters),
      config(parameters.config()),
      options(options),
      masters_(parameters.entries().size()),
      copies_(masters_.size()),
      gradients_(masters_.size()),
      written_(masters_.size()) {
    const int64_t b = options.batch, s = options.sequence;
    input_ids = input(names::kInputIds, DType::i32, {b, s});
    if (options.types) token_type_ids = input(names::kTokenTypeIds, DType::i32, {b, s});
    if (options.lengths) lengths = input(names::kLengths, DType::i32, {b});
    if (options.training) dropout_state = input(names::kDropoutState, DType::i32, {4});
    if (options.training && options.dtype == DType::fp16)
        loss_scale = input(names::kLossScale, DType::f32, {sizeof(kernels::LossScale) / sizeof(float)});
}

Tensor Builder::input(const std::string& name, DType dtype, const Shape& shape) {
    if (!program.has(name)) return program.bound(name, dtype, shape);
    const Tensor tensor{program.find(name), dtype, 0, shape};
    const Storage& storage = program.storages()[static_cast<size_t>(tensor.storage)];
    require(storage.owner == Owner::caller && storage.dtype == dtype && storage.shape == shape,
            "{}: {} is {} {} already, and now {} {}", program.name(), name, name_of(storage.dtype),
            storage.shape.text(), name_of(dtype), shape.text());
    return tensor;
}

Tensor Builder::parameter(std::vector<Tensor>& cache, Parameters::Index p, const std::string& name, DType dtype,
                          Program::Content content) {
    Tensor& tensor = cache[static_cast<size_t>(p)];
    if (!tensor) tensor = program.bound(name, dtype, parameters.entries()[static_cast<size_t>(p)].shape, content);
    return tensor;
}

Tensor Builder::master(Parameters::Index p) {
    return parameter(masters_, p, names::master(parameters.entries()[static_cast<size_t>(p)].name), DType::f32);
}

Tensor Builder::weight(Parameters::Index p) {
    if (options.dtype == DType::f32) return master(p);
    return parameter(copies_, p, names::copy(parameters.entries()[static_cast<size_t>(p)].name), options.dtype);
}

Tensor Builder::gradient(Parameters::Index p) {
    return parameter(gradients_, p, names::gradient(parameters.entries()[static_cast<size_t>(p)].name), DType::f32,
                     options.accumulate ? Program::Content::given : Program::Content::none);
}

bool Builder::record_write(const std::string& name, Parameters::Index p, Parameters::Index q) {
    const bool first = record_write(p), second = record_write(q);
    if (first != second) ops::clear(program, name + ".clear", gradient(first ? q : p));
    return first || second;
}

Tensor Builder::gradient_to_add_to(const std::string& name, Parameters::Index p) {
    if (!record_write(p)) ops::clear(program, name + ".clear", gradient(p));
    return gradient(p);
}

bool Builder::record_write(Parameters::Index p) {
    const bool before = written_[static_cast<size_t>(p)];
    written_[static_cast<size_t>(p)] = true;
    return options.accumulate || before;
}

Tensor Builder::activation(const std::string& name, const Shape& shape) {
    return program.planned(name, options.dtype, shape);
}

ops::DropoutSite Builder::dropout(uint32_t site, float probability) {
    return options.training ? ops::DropoutSite{dropout_state, first_site_ + site, probability} : ops::DropoutSite{};
}

ops::DropoutSite Builder::hidden_dropout(uint32_t site) { return dropout(site, config.hidden_dropout); }
ops::DropoutSite Builder::attention_dropout(uint32_t site) { return dropout(site, config.attention_dropout); }

Tensor Builder::linear(const std::string& name, Tensor x, const Parameters::Linear& l, const ops::GemmGelu& gelu) {
    const Tensor w = weight(l.weight);
    const Tensor y = activation(name, {x.shape[0], w.shape[0]});
    ops::gemm(program, name, {.a = x, .b = w, .c = y, .bias = master(l.bias), .transpose_b = true, .gelu = gelu});
    return y;
}

void Builder::weight_gradient(const std::string& name, Tensor dy, Tensor x, const Parameters::Linear& l) {
    ops::gemm(program, name + ".weight_gradient",
              {.a = dy, .b = x, .c = gradient(l.weight), .transpose_a = true, .accumulate = record_write(l.weight)});
}

void Builder::weight_and_bias_gradient(const std::string& name, Tensor dy, Tensor x, const Parameters::Linear& l) {
    ops::gemm(program, name + ".weight_gradient",
              {.a = dy,
               .b = x,
               .c = gradient(l.weight),
               .bias_gradient = gradient(l.bias),
               .transpose_a = true,
               .accumulate = record_write(l.weight)});
}

void Builder::input_gradient(const std::string& name, Tensor dy, const Parameters::Linear& l, Tensor dx, bool add) {
    ops::gemm(program, name + ".backward", {.a = dy, .b = weight(l.weight), .c = dx, .accumulate = add});
}

void Builder::input_gradient(const std::string& name, Tensor dy, const Parameters::Linear& l, Tensor dx,
                             const ops::GemmGelu& gelu) {
    ops::gemm(program, name + ".backward", {.a = dy, .b = weight(l.weight), .c = dx, .gelu = gelu});
}

void Builder::linear_backward(const std::string& name, Tensor dy, Tensor x, const Parameters::Linear& l, Tensor dx,
                              bool add) {
    weight_gradient(name, dy, x, l);
    input_gradient(name, dy, l, dx, add);
}

}  // namespace dropforge
