// A bound tensor whose input is never set, or whose name no Program has, fails when the training step or the forward
// pass is made, in one line.
#include "model/training/bindings.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/network/bert.h"
#include "tests/support/message_of.h"
#include "tests/support/step_fixture.h"

namespace dropforge::test {
namespace {

/// Adds an op that reads an input f32 [1] of that name.
void read_extra(Program& program, const std::string& name) {
    const Tensor input = program.bound(name, DType::f32, {1});
    ops::cast(program, "read " + name, input, program.bound(name + "_read", DType::f32, {1}));
}

/// Dense steps with inputs beside those of all.
class ExtraNames final : public Method {
  public:
    ExtraNames(std::vector<std::string> takes, std::vector<std::string> gives, std::string moves)
        : Method(RunShape{}), takes_(std::move(takes)), gives_(std::move(gives)), moves_(std::move(moves)) {}

    const char* name() const override { return "further"; }
    Program program(StepKind kind, const Parameters& parameters, const BuildOptions& options) const override {
        Program program = Method::program(kind, parameters, options);
        for (const std::string& name : takes_) read_extra(program, name);
        return program;
    }
    NamedNumbers inputs(const StepInfo& info) const override {
        NamedNumbers inputs = Method::inputs(info);
        for (const std::string& name : gives_) inputs[name] = 1;
        return inputs;
    }
    std::vector<MethodState> states() const override { return {{"state", 1}}; }
    void add_update(Program& program, Tensor norm) const override {
        if (!moves_.empty()) ops::cast(program, "move", norm, program.bound(moves_, DType::f32, {1}));
    }

  private:
    std::vector<std::string> takes_, gives_;
    std::string moves_;
};

std::string trouble_with(std::vector<std::string> takes, std::vector<std::string> gives, std::string moves = "") {
    const Parameters parameters(small_config(0), {mlm_head()});
    const data::Batch batch = random_batch(parameters.config(), 4, 16, 3);
    StepOptions options = options_for(batch, 2);
    options.method = std::make_shared<ExtraNames>(std::move(takes), std::move(gives), std::move(moves));
    return message_of([&] { const TrainingStep step(parameters, StepPrograms(parameters, options), kernels::cpu()); });
}

TEST_CASE("a training step wants every input given, and every given one taken") {
    CHECK(trouble_with({"a", "b"}, {"a", "b"}) == "");
    CHECK(trouble_with({"a", "b"}, {"a"}) == "dense step: the input b is never set");
    CHECK(trouble_with({"a"}, {"a", "b"}) == "dense step: it takes no b, which the method further gives");
}

TEST_CASE("a training step wants memory for all that its update moves") {
    CHECK(trouble_with({}, {}, "state") == "");
    CHECK(trouble_with({}, {}, "stat") == "optimizer step: stat was never bound; op move uses it");
}

TEST_CASE("a forward pass wants every input given") {
    const Parameters parameters(small_config(0), {mlm_head()});
    const std::vector<float> values(static_cast<size_t>(parameters.size()));
    const auto trouble = [&](const std::string& extra) {
        Program program = evaluation(parameters, {.batch = 2, .sequence = 16, .masked = 3});
        if (!extra.empty()) read_extra(program, extra);
        return message_of([&] {
            const ForwardPass pass(parameters, PlannedProgram(std::move(program)), values.data(), DType::f32,
                                   kernels::cpu());
        });
    };
    CHECK(trouble("") == "");
    CHECK(trouble("masked_label") == "evaluation: the input masked_label is never set");
}

TEST_CASE("a tensor that two parts of a Program ask for is one, of one type and shape") {
    const Parameters parameters(small_config(0), {mlm_head()});
    Program program("step");
    Builder builder(program, parameters, {.batch = 2, .sequence = 16, .masked = 3});
    builder.input("labels", DType::i32, {6});
    CHECK_NOTHROW(builder.input("labels", DType::i32, {6}));
    CHECK(message_of([&] { builder.input("labels", DType::f32, {6}); }) ==
          "step: labels is i32 [6] already, and now f32 [6]");
    CHECK(message_of([&] {
              builder.input("labels", DType::i32, {2, 3});
          }) == "step: labels is i32 [6] already, and now i32 [2, 3]");
}

}  // namespace
}  // namespace dropforge::test
