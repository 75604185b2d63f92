// A whole step's gradient against finite differences of its loss, along directions that cover all parameters.
#pragma once

#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/step_fixture.h"

namespace dropforge::test {

/// The part of the model that a tensor belongs to: "bert.embeddings", "bert.encoder.layer.2", "cls.predictions" …
inline std::string part_of(const HfTensor& t) {
    size_t end = t.name.find('.');
    for (int dots = t.name.starts_with("bert.encoder.") ? 3 : 1; dots > 0; --dots) end = t.name.find('.', end + 1);
    return t.name.substr(0, end);
}

/// A step whose gradient is checked: values and gradients, both [parameters.size()] in host memory, and a pass that
/// makes the gradients anew and gives the loss.
struct Differentiated {
    float* values;
    const float* gradients;
    std::function<double()> pass;
};

/// The gradient of a step's loss as the step computes it, and as the loss itself shows it.
class GradientCheck {
  public:
    GradientCheck(const Parameters& parameters, Differentiated step) : parameters_(parameters), step_(std::move(step)) {
        step_.pass();
        gradients_.assign(step_.gradients, step_.gradients + parameters.size());
        values_.assign(step_.values, step_.values + parameters.size());
    }
    /// `number`: of the step, which selects the dropout.
    GradientCheck(const Parameters& parameters, TrainingStep& step, const data::Batch& batch, StepKind kind,
                  int64_t number = 5)
        : GradientCheck(parameters, {step.values(), step.gradients(), [&step, &batch, kind, number] {
                                         return step.backward(batch, number, kind).loss;
                                     }}) {}

    /// By part of the model: |slope of the loss / norm of the part's gradient − 1|, along that gradient. The slope is a
    /// central difference of fourth order whose points change the loss by about 0.02 and 0.04: enough above the
    /// rounding of an f32 loss.
    std::map<std::string, double> errors() {
        std::map<std::string, double> squares, errors;
        for (const HfTensor& t : parameters_.tensors())
            for (int64_t i = t.offset; i < t.offset + t.shape.size(); ++i)
                squares[part_of(t)] += double{gradients_[static_cast<size_t>(i)]} * gradients_[static_cast<size_t>(i)];
        for (const auto& [part, square] : squares) {
            if (square == 0) continue;  // the pooler without next-sentence prediction
            const double norm = std::sqrt(square), distance = 0.02 / norm;
            errors[part] = std::abs((4 * slope(part, norm, distance) - slope(part, norm, 2 * distance)) / 3 / norm - 1);
        }
        return errors;
    }

  private:
    double slope(const std::string& part, double norm, double distance) {
        const auto [above, up] = at(part, norm, distance);
        const auto [below, down] = at(part, norm, -distance);
        at(part, norm, 0);
        return (above - below) / (up - down);
    }

    /// The loss with the part moved along its gradient, and how far it moved: f32 weights round what is asked for.
    std::pair<double, double> at(const std::string& part, double norm, double distance) {
        double moved = 0;
        for (const HfTensor& t : parameters_.tensors()) {
            if (part_of(t) != part) continue;
            for (int64_t j = t.offset; j < t.offset + t.shape.size(); ++j) {
                const auto i = static_cast<size_t>(j);
                const double direction = gradients_[i] / norm;
                step_.values[i] = static_cast<float>(values_[i] + distance * direction);
                moved += (double{step_.values[i]} - values_[i]) * direction;
            }
        }
        return {distance == 0 ? 0 : step_.pass(), moved};
    }

    const Parameters& parameters_;
    const Differentiated step_;
    std::vector<float> gradients_, values_;
};

/// What the check cannot tell from a right gradient: 4 x the largest error on the dense step of the same model and
/// batch, with four draws of dropout.
inline double gradient_error_limit(const Parameters& parameters, const data::Batch& batch) {
    ReadyStep dense(parameters, options_for(batch, batch.sequences / 2));
    double worst = 0;
    for (const int64_t number : {5, 6, 7, 8})
        for (const auto& [part, error] : GradientCheck(parameters, dense, batch, StepKind::dense, number).errors())
            if (!(error <= worst)) worst = error;  // NaN too
    return 4 * worst;
}

/// Checks every part's error, but for that of a part whose gradient is 0 in exact arithmetic.
inline void check_gradient(GradientCheck check, double limit, std::string_view without = "") {
    for (const auto& part : check.errors()) {
        if (part.first == without) continue;
        const bool right = part.second <= limit;
        CHECK_MESSAGE(right, part.first << ": " << part.second << " > " << limit);
    }
}
inline void check_gradient(const Parameters& parameters, TrainingStep& step, const data::Batch& batch, StepKind kind,
                           double limit) {
    CAPTURE(static_cast<uint32_t>(kind));
    check_gradient({parameters, step, batch, kind}, limit);
}

}  // namespace dropforge::test
