#include "apps/loss_curve.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/error.h"
#include "base/xml.h"

namespace dropforge {

namespace {

using Json = nlohmann::json;

/// By step: the tokens that lines of steps have, and the losses that lines of evaluations have.
struct Metrics {
    std::map<int64_t, double> tokens, losses;

    /// Takes a line of metrics.jsonl; false if it is none. A loss that is not finite is null there, and has no place in
    /// a diagram; nor has one that is only just finite.
    bool add(std::string_view line) {
        const Json json = Json::parse(line, nullptr, false);
        if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer()) return false;
        const auto step = json["step"].get<int64_t>();
        const auto take = [&](const char* key, double least, double most, std::map<int64_t, double>& values) {
            if (!json.contains(key) || !json[key].is_number()) return;
            if (const double value = json[key].get<double>(); value >= least && value <= most) values[step] = value;
        };
        take("tokens", 1, 1e18, tokens);
        take("eval_loss", 0, 1e6, losses);
        return step > 0;
    }
    /// Every step has as many tokens.
    double tokens_at(int64_t step) const {
        const auto next = tokens.lower_bound(step);
        const auto& [known_step, known_tokens] = next != tokens.end() ? *next : *std::prev(next);
        return known_tokens * static_cast<double>(step) / static_cast<double>(known_step);
    }
};

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

    /// 0 … 1, from left to right and from the top down.
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

double loss_at(const LossCurve& curve, double tokens) {
    const auto next = std::ranges::lower_bound(curve.points, tokens, {}, &LossPoint::tokens);
    if (next == curve.points.begin()) return next->loss;
    if (next == curve.points.end()) return curve.points.back().loss;
    const LossPoint before = *std::prev(next);
    const double share = (tokens - before.tokens) / (next->tokens - before.tokens);
    return before.loss + share * (next->loss - before.loss);
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
        size_t previous = place(range_.down(curve.points[0].loss), kRows);
        for (size_t column = column_of(curve.points.front()); column <= column_of(curve.points.back()); ++column) {
            const double tokens = range_.tokens * static_cast<double>(column) / (kColumns - 1);
            const size_t row = place(range_.down(loss_at(curve, tokens)), kRows);
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

    /// The place of `share` (0 … 1) among so many.
    static size_t place(double share, size_t places) {
        return static_cast<size_t>(std::lround(share * static_cast<double>(places - 1)));
    }

    const Range& range_;
    std::array<std::string, kRows> rows_;
};

/// With the SVG's measures, in its units.
class SvgDiagram {
  public:
    explicit SvgDiagram(const Range& range) : range_(range) {
        text_ = fmt::format(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" font-family=\"sans-serif\" "
            "font-size=\"12\">\n<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n",
            kWidth, kHeight);
        const double distance = std::ceil((range.highest - range.lowest) / 8) / 2;  // at most 17 lines
        for (double loss = range.lowest; loss <= range.highest; loss += distance)
            text_ += fmt::format(
                "<path d=\"M{} {:.1f}H{}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{:.1f}\" "
                "text-anchor=\"end\">{:.1f}</text>\n",
                kLeft, y(loss), kWidth - kRight, kLeft - 6, y(loss) + 4, loss);
        for (int quarter = 0; quarter <= 4; ++quarter) {
            const double tokens = range.tokens * quarter / 4;
            text_ += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
                                 x(tokens / range.tokens), kHeight - kBottom + 18, range.tokens_text(tokens));
        }
        text_ += fmt::format(
            "<text x=\"{0}\" y=\"{1}\" text-anchor=\"middle\">tokens</text>\n"
            "<text x=\"14\" y=\"{2}\" text-anchor=\"middle\" transform=\"rotate(-90 14 {2})\">validation MLM loss, "
            "nats</text>\n",
            (kLeft + kWidth - kRight) / 2, kHeight - 10, kHeight / 2);
    }
    void add(const LossCurve& curve) {
        std::string path;
        for (const LossPoint& point : curve.points)
            path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? 'M' : 'L', x(range_.across(point)), y(point.loss));
        text_ += fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\"/>\n", path,
                             colour(range_.number_of(curve.label)));
    }
    void add_label(size_t number) {
        const int at = kTop + 16 + 18 * static_cast<int>(number);
        text_ += fmt::format(
            "<path d=\"M{} {}h20\" stroke=\"{}\" stroke-width=\"2\"/><text x=\"{}\" y=\"{}\">{}</text>\n",
            kWidth - kRight + 10, at, colour(number), kWidth - kRight + 36, at + 4, xml_escaped(range_.labels[number]));
    }
    std::string text() const { return text_ + "</svg>\n"; }

  private:
    static constexpr int kWidth = 720, kHeight = 400, kLeft = 60, kBottom = 50, kTop = 20, kRight = 130;

    double x(double share) const { return kLeft + (kWidth - kLeft - kRight) * share; }
    double y(double loss) const { return kTop + (kHeight - kTop - kBottom) * range_.down(loss); }
    static std::string_view colour(size_t number) {
        constexpr std::array<std::string_view, 4> kColours{"#3b6fb6", "#d1762b", "#3a9a5b", "#8c4fa8"};
        return kColours[number % kColours.size()];
    }

    const Range& range_;
    std::string text_;
};

}  // namespace

LossCurve read_loss_curve(const std::string& label, const std::string& run) {
    const fs::path file = fs::path(run) / "metrics.jsonl";
    require(fs::exists(file), "{}: expected the folder of a run, with metrics.jsonl", run);
    const std::string text = read_text(file);
    Metrics metrics;
    int64_t number = 1;
    for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1, ++number)
        require(metrics.add(std::string_view(text).substr(begin, end - begin)),
                "{}:{}: expected a JSON object with a step", file.string(), number);
    require(!metrics.losses.empty() && !metrics.tokens.empty(),
            "{}: no evaluation yet: eval.every says how often a run has one, on the validation text of its data",
            file.string());
    LossCurve curve{label, run, {}};
    for (const auto& [step, loss] : metrics.losses) curve.points.push_back({step, metrics.tokens_at(step), loss});
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
    const Range range(curves);
    SvgDiagram diagram(range);
    for (size_t number = 0; number < range.labels.size(); ++number) {
        for (const LossCurve& curve : curves)
            if (curve.label == range.labels[number]) diagram.add(curve);
        diagram.add_label(number);
    }
    return diagram.text();
}

}  // namespace dropforge
