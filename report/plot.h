// Line diagrams in SVG: colours by the class of an element (style.h), so that they follow the page from light to dark.
#pragma once

#include <string>
#include <vector>

#include "report/quantity.h"
#include "report/thinning.h"

namespace dropforge::report {

struct Axis {
    std::string name;
    Quantity quantity;
};

/// Series of one style are drawn alike: in its colour and with its dashes.
struct Series {
    std::string name;
    size_t style;
    std::vector<Point> points;  // in ascending x
};

struct Plot {
    Axis x, y;
    std::vector<Series> series;
    /// y goes from 0 to the highest value. Else, as suits a loss, from the lowest value, and what the first tenth of
    /// the x axis has above all later ones lies outside.
    bool from_zero = false;
};

/// An <svg> element, kPlotWidth units wide. Curves are thinned; numbers are in the titles of invisible strips, as a
/// browser shows them where the pointer rests. Series without points are left out.
std::string plot_svg(const Plot& plot);
/// The same as a file of its own.
std::string plot_file(const Plot& plot);
/// A short line as series of that style have, for a legend.
std::string swatch_svg(size_t style);

}  // namespace dropforge::report
