// Curves with no more points than a diagram can show.
#pragma once

#include <vector>

namespace dropforge::report {

struct Point {
    double x, y;
};

/// Of points in ascending x, the lowest and the highest in each of `columns` equal parts of [low, high], in their
/// order, so that no spike is lost; all of them if there are no more than two a column.
std::vector<Point> thinned(const std::vector<Point>& points, double low, double high, int columns);

/// The value at x of the line through the points, in ascending x; beyond the ends, that of the nearest point.
double value_at(const std::vector<Point>& points, double x);

}  // namespace dropforge::report
