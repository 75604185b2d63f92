#include "report/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "report/html.h"
#include "report/style.h"

namespace dropforge::report {

namespace {

constexpr double kWidth = 460, kHeight = 290, kTop = 26, kBottom = 36, kRight = 12;
constexpr double kLetterWidth = 7.2, kLabelHeight = 14;  // of names at the ends of curves and marks of the y axis
constexpr size_t kLabels = 8, kLabelLetters = 14;  // more series have no names in the diagram; a longer name is cut
constexpr int kStrips = 46;
constexpr size_t kListed = 12;           // series in the title of a strip
constexpr size_t kMarked = 40;           // points; more are not marked each
constexpr size_t kPointsInAll = 24'000;  // of all series, so that a page of many runs stays small

struct Range {
    double low, high;
};

/// Coordinates of a path, relative and in tenths of a unit.
class Path {
  public:
    void to(double x, double y) {
        const int64_t next_x = std::llround(10 * x), next_y = std::llround(10 * y);
        text_ += text_.empty() ? "M" : moves_ == 1 ? "l" : " ";
        text_ += tenths(next_x - x_) + " " + tenths(next_y - y_);
        x_ = next_x;
        y_ = next_y;
        ++moves_;
    }
    const std::string& text() const { return text_; }

  private:
    static std::string tenths(int64_t value) {
        return value % 10 == 0
                   ? std::to_string(value / 10)
                   : fmt::format("{}{}.{}", value < 0 ? "-" : "", std::abs(value) / 10, std::abs(value) % 10);
    }

    std::string text_;
    int64_t x_ = 0, y_ = 0;
    int moves_ = 0;
};

/// The start of a long name, by whole characters of UTF-8.
std::string shortened(const std::string& name, size_t letters) {
    size_t count = 0;
    for (size_t i = 0; i < name.size(); ++i) {
        if ((static_cast<unsigned char>(name[i]) & 0xC0) == 0x80) continue;
        if (count++ == letters) return name.substr(0, i) + "…";
    }
    return name;
}

class Diagram {
  public:
    explicit Diagram(const Plot& plot) : plot_(plot) {
        std::erase_if(plot_.series, [](const Series& series) { return series.points.empty(); });
        find_ranges();
        size_t letters = 0;
        for (const double value : y_values()) letters = std::max(letters, text_of(value, plot_.y.quantity).size());
        left_ = kLetterWidth * static_cast<double>(letters) + 8;
        right_ = kWidth - (has_labels() ? label_width() : kRight);
    }

    /// The element, with more attributes and with what lies under the diagram.
    std::string draw(const std::string& attributes, const std::string& ground) {
        text_ =
            fmt::format("<svg class=\"plot{}\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{} against {}\"{}>\n{}",
                        has_labels() ? "" : " many", kWidth, kHeight, escaped(plot_.y.name), escaped(plot_.x.name),
                        attributes, ground);
        axes();
        text_ += fmt::format("<svg x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\">\n", left_, kTop, right_ - left_,
                             kHeight - kTop - kBottom);
        for (const Series& series : plot_.series) curve(series);
        text_ += "</svg>\n";
        if (has_labels()) labels();
        for (int i = 0; i < kStrips; ++i) strip(i);
        return text_ + "</svg>\n";
    }

  private:
    bool has_labels() const { return plot_.series.size() <= kLabels; }
    double label_width() const {
        size_t letters = 0;
        for (const Series& series : plot_.series) letters = std::max(letters, series.name.size());
        return kRight + kLetterWidth * static_cast<double>(std::min(letters, kLabelLetters + 1));
    }

    void find_ranges() {
        if (plot_.series.empty()) return;
        x_ = {0, std::numeric_limits<double>::min()};
        for (const Series& series : plot_.series) x_.high = std::max(x_.high, series.points.back().x);
        double low = plot_.from_zero ? 0 : std::numeric_limits<double>::max(), high = 0;
        for (const Series& series : plot_.series)
            for (const Point& point : series.points) {
                low = std::min(low, point.y);
                if (plot_.from_zero || point.x >= x_.high / 10 || &point == &series.points.back())
                    high = std::max(high, point.y);
            }
        const double room = high > low ? 0.04 * (high - low) : std::max(0.04 * std::abs(high), 1e-9);
        y_ = {plot_.from_zero ? 0 : low - room, high + room};
    }
    std::vector<double> y_values() const { return round_values(y_.low, y_.high, 6, plot_.y.quantity); }
    double across(double x) const { return (x - x_.low) / (x_.high - x_.low) * (right_ - left_); }
    double down(double y) const { return (y_.high - y) / (y_.high - y_.low) * (kHeight - kTop - kBottom); }

    void axes() {
        for (const double value : y_values())
            text_ += fmt::format(
                "<path class=\"grid\" d=\"M{} {:.1f}H{}\"/><text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n",
                left_, kTop + down(value), right_, left_ - 6, kTop + down(value) + 4, text_of(value, plot_.y.quantity));
        const double bottom = kHeight - kBottom;
        text_ += fmt::format("<path class=\"axis\" d=\"M{} {}H{}\"/>\n", left_, bottom, right_);
        for (const double value : round_values(x_.low, x_.high, 4, plot_.x.quantity))
            text_ += fmt::format(
                "<path class=\"axis\" d=\"M{0:.1f} {1}v4\"/><text x=\"{0:.1f}\" y=\"{2}\" "
                "text-anchor=\"middle\">{3}</text>\n",
                left_ + across(value), bottom, bottom + 16, text_of(value, plot_.x.quantity));
        text_ += fmt::format(
            "<text class=\"name\" x=\"0\" y=\"14\">{}</text><text class=\"name\" x=\"{}\" y=\"{}\" "
            "text-anchor=\"end\">{}</text>\n",
            escaped(plot_.y.name), right_, kHeight - 4, escaped(plot_.x.name));
    }

    void curve(const Series& series) {
        const int columns = static_cast<int>(
            std::clamp<size_t>(kPointsInAll / 2 / plot_.series.size(), 40, static_cast<size_t>(right_ - left_)));
        const std::vector<Point> points = thinned(series.points, x_.low, x_.high, columns);
        Path path, dots;
        std::string marks;
        for (const Point& point : points) {
            path.to(across(point.x), down(point.y));
            marks += fmt::format("M{:.1f} {:.1f}h0", across(point.x), down(point.y));
        }
        text_ += fmt::format("<g class=\"{}\"><title>{}</title><path class=\"curve\" d=\"{}\"/>",
                             classes_of(series.style), escaped(series.name), path.text());
        if (points.size() <= kMarked && has_labels()) text_ += fmt::format("<path class=\"dots\" d=\"{}\"/>", marks);
        text_ += "</g>\n";
    }

    /// Names at the ends of the curves, moved apart where these meet; of several series of one name at the first.
    void labels() {
        struct Label {
            const Series* series;
            double y;
        };
        std::vector<Label> all;
        for (const Series& series : plot_.series) {
            const auto known = [&](const Label& label) { return label.series->name == series.name; };
            if (std::ranges::none_of(all, known)) all.push_back({&series, kTop + down(series.points.back().y)});
        }
        std::ranges::stable_sort(all, {}, &Label::y);
        for (size_t i = 1; i < all.size(); ++i) all[i].y = std::max(all[i].y, all[i - 1].y + kLabelHeight);
        double lowest = kHeight - kBottom;
        for (size_t i = all.size(); i-- > 0; lowest -= kLabelHeight) all[i].y = std::min(all[i].y, lowest);
        for (const Label& label : all)
            text_ += fmt::format("<text class=\"label {}\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n",
                                 classes_of(label.series->style), right_ + 6, label.y + 4,
                                 escaped(shortened(label.series->name, kLabelLetters)));
    }

    /// Shows the values of all series there, the lowest first.
    void strip(int index) {
        const double width = (right_ - left_) / kStrips, share = (index + 0.5) / kStrips;
        const double x = x_.low + share * (x_.high - x_.low), half = (x_.high - x_.low) / kStrips / 2;
        std::vector<std::pair<double, const Series*>> values;
        for (const Series& series : plot_.series)
            if (x + half >= series.points.front().x && x - half <= series.points.back().x)
                values.emplace_back(value_at(series.points, x), &series);
        if (values.empty()) return;
        std::ranges::stable_sort(values, {}, [](const auto& value) { return value.first; });
        std::string title = fmt::format("{}: {}", escaped(plot_.x.name), text_of(x, plot_.x.quantity));
        for (size_t i = 0; i < std::min(values.size(), kListed); ++i)
            title +=
                fmt::format("\n{}  {}", text_of(values[i].first, plot_.y.quantity), escaped(values[i].second->name));
        if (values.size() > kListed) title += fmt::format("\n… and {} more", values.size() - kListed);
        text_ += fmt::format(
            "<rect class=\"strip\" x=\"{:.1f}\" y=\"{}\" width=\"{:.1f}\" height=\"{}\"><title>{}</title></rect>\n",
            left_ + index * width, kTop, width, kHeight - kTop - kBottom, title);
    }

    Plot plot_;
    Range x_{0, 1}, y_{0, 1};
    double left_ = 0, right_ = 0;  // of the frame
    std::string text_;
};

}  // namespace

std::string plot_svg(const Plot& plot) { return Diagram(plot).draw("", ""); }

std::string plot_file(const Plot& plot) {
    return Diagram(plot).draw(
        " xmlns=\"http://www.w3.org/2000/svg\"",
        fmt::format("<style>{}</style>\n<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n", kPlotStyle));
}

std::string swatch_svg(size_t style) {
    return fmt::format(
        "<svg class=\"swatch\" viewBox=\"0 0 28 10\"><g class=\"{}\"><path class=\"curve\" d=\"M1 5h26\"/></g></svg>",
        classes_of(style));
}

}  // namespace dropforge::report
