#include "model/methods/dense.h"

namespace dropforge {

namespace {

class Dense final : public Method {
  public:
    using Method::Method;
    const char* name() const override { return "dense"; }
};

}  // namespace

std::shared_ptr<const Method> dense(const RunShape& shape) { return std::make_shared<Dense>(shape); }

MethodEntry dense_method() {
    return {.name = "dense", .make = [](const RunShape& shape, const OptionTables&) { return dense(shape); }};
}

}  // namespace dropforge
