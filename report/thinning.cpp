#include "report/thinning.h"

#include <algorithm>
#include <cmath>

namespace dropforge::report {

std::vector<Point> thinned(const std::vector<Point>& points, double low, double high, int columns) {
    if (points.size() <= 2 * static_cast<size_t>(columns)) return points;
    const auto column_of = [&](const Point& point) {
        return std::clamp(static_cast<int>((point.x - low) / (high - low) * columns), 0, columns - 1);
    };
    std::vector<Point> kept;
    for (auto begin = points.begin(); begin != points.end();) {
        const int column = column_of(*begin);
        const auto end =
            std::find_if(begin, points.end(), [&](const Point& point) { return column_of(point) != column; });
        auto [first, second] =
            std::minmax_element(begin, end, [](const Point& a, const Point& b) { return a.y < b.y; });
        if (second < first) std::swap(first, second);
        kept.push_back(*first);
        if (second != first) kept.push_back(*second);
        begin = end;
    }
    return kept;
}

double value_at(const std::vector<Point>& points, double x) {
    const auto next = std::ranges::lower_bound(points, x, {}, &Point::x);
    if (next == points.begin()) return points.front().y;
    if (next == points.end()) return points.back().y;
    const Point before = *std::prev(next);
    return before.y + (x - before.x) / (next->x - before.x) * (next->y - before.y);
}

}  // namespace dropforge::report
