#include "apps/loss_curve.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "base/error.h"
#include "report/plot.h"
#include "report/run_metrics.h"

namespace dropforge {

namespace {

/// What all curves lie in.
struct Range {
    double tokens = 0;                // from 0 on
    double lowest, highest;           // losses: multiples of a half
    std::vector<std::string> labels;  // each once, in the order of the curves

    explicit Range(const std::vector<LossCurve>& curves) {
        double least = curves[0].points[0].loss, most = least;
        for (const LossCurve& curve : curves) {
            for (const LossPoint& point : curve.points) {
                tokens = std::max(tokens, point.tokens);
                least = std::min(least, point.loss);
                most = std::max(most, point.loss);
            }
            if (std::ranges::find(labels, curve.label) == labels.end()) labels.push_back(curve.label);
        }
        lowest = std::floor(2 * least) / 2;
        highest = (1 + std::floor(2 * most)) / 2;
    }

    /// Coordinates 0 … 1, from left to right and from the top down.
    double across(const LossPoint& point) const { return point.tokens / tokens; }
    double down(double loss) const { return (highest - loss) / (highest - lowest); }
    size_t number_of(const std::string& label) const {
        return static_cast<size_t>(std::ranges::find(labels, label) - labels.begin());
    }
    std::string tokens_text(double count) const {
        for (const auto& [unit, name] : {std::pair(1e9, "B"), std::pair(1e6, "M"), std::pair(1e3, "k")})
            if (tokens >= unit) return fmt::format("{:.1f} {}", count / unit, name);
        return fmt::format("{:.0f}", count);
    }
};

/// The losses against tokens.
std::vector<report::Point> points_of(const LossCurve& curve) {
    std::vector<report::Point> points;
    for (const LossPoint& point : curve.points) points.push_back({point.tokens, point.loss});
    return points;
}

class TextDiagram {
  public:
    explicit TextDiagram(const Range& range) : range_(range) { rows_.fill(std::string(kColumns, ' ')); }

    char mark_of(const LossCurve& curve) const {
        constexpr std::string_view kMarks = "*o+x#@";
        return kMarks[range_.number_of(curve.label) % kMarks.size()];
    }
    void add(const LossCurve& curve) {
        const auto column_of = [&](const LossPoint& point) { return place(range_.across(point), kColumns); };
        const std::vector<report::Point> points = points_of(curve);
        size_t previous = place(range_.down(points[0].y), kRows);
        for (size_t column = column_of(curve.points.front()); column <= column_of(curve.points.back()); ++column) {
            const double tokens = range_.tokens * static_cast<double>(column) / (kColumns - 1);
            const size_t row = place(range_.down(report::value_at(points, tokens)), kRows);
            for (size_t r = std::min(row, previous); r <= std::max(row, previous); ++r)  // a steep line has no gaps
                if (r == row || r != previous) rows_[r][column] = mark_of(curve);
            previous = row;
        }
    }
    std::string text() const {
        std::string text = "validation loss, nats a masked token\n";
        for (size_t row = 0; row < kRows; ++row) {
            const double share = static_cast<double>(row) / (kRows - 1);
            const double loss = range_.highest + share * (range_.lowest - range_.highest);
            const std::string mark = row % 4 == 0 ? fmt::format("{:.2f}", loss) : "";
            text += fmt::format("{:>6} |{}", mark, rows_[row]);
            text.resize(text.find_last_not_of(' ') + 1);
            text += '\n';
        }
        text += fmt::format("{:6} +{:-<{}}\n", "", "", kColumns);
        const std::string half = range_.tokens_text(range_.tokens / 2),
                          all = range_.tokens_text(range_.tokens) + " tokens";
        return text + fmt::format("{:8}0{:^{}}{}\n", "", half, kColumns - 1 - all.size(), all);
    }

  private:
    static constexpr size_t kColumns = 72, kRows = 17;

    /// The index for `share` (0 … 1) among so many places.
    static size_t place(double share, size_t places) {
        return static_cast<size_t>(std::lround(share * static_cast<double>(places - 1)));
    }

    const Range& range_;
    std::array<std::string, kRows> rows_;
};

}  // namespace

LossCurve read_loss_curve(const std::string& label, const std::string& run) {
    const report::RunMetrics metrics(run);
    require(!metrics.evaluations().empty() && !metrics.steps().empty(),
            "{}: no evaluation yet: eval.every says how often a run has one, on the validation text of its data",
            (fs::path(run) / "metrics.jsonl").string());
    LossCurve curve{label, run, {}};
    for (const report::LoggedEvaluation& evaluation : metrics.evaluations())
        curve.points.push_back(
            {evaluation.step, metrics.tokens_at(static_cast<double>(evaluation.step)), evaluation.loss});
    std::ranges::sort(curve.points, {}, &LossPoint::tokens);  // as they are, but in a file that somebody wrote
    return curve;
}

std::string curves_as_text(const std::vector<LossCurve>& curves) {
    const Range range(curves);
    TextDiagram diagram(range);
    for (const LossCurve& curve : curves) diagram.add(curve);
    size_t width = 0;
    for (const LossCurve& curve : curves) width = std::max(width, curve.label.size());
    std::string text = diagram.text();
    for (const LossCurve& curve : curves)
        text += fmt::format("{} {:{}}  {:.4f} after {} tokens{}\n", diagram.mark_of(curve), curve.label, width,
                            curve.points.back().loss, range.tokens_text(curve.points.back().tokens),
                            curve.run == curve.label ? "" : "  " + curve.run);
    return text;
}

std::string curves_as_svg(const std::vector<LossCurve>& curves) {
    using report::Quantity;
    const Range range(curves);
    report::Plot plot{
        .x = {"tokens", Quantity::count}, .y = {"validation MLM loss, nats", Quantity::number}, .series = {}};
    for (const LossCurve& curve : curves)
        plot.series.push_back({curve.label, range.number_of(curve.label), points_of(curve)});
    return report::plot_file(plot);
}

}  // namespace dropforge
