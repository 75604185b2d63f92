// Diagrams of the report: numbers with units, marks of axes, thinned curves, SVG.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "report/html.h"
#include "report/plot.h"
#include "report/style.h"
#include "tests/support/well_formed.h"

using namespace dropforge;
using namespace dropforge::report;
using namespace dropforge::test;

TEST_CASE("numbers with their units") {
    CHECK(text_of(3.51249, Quantity::number) == "3.512");
    CHECK(text_of(999, Quantity::count) == "999");
    CHECK(text_of(1000, Quantity::count) == "1 k");
    CHECK(text_of(999'990, Quantity::count) == "1 M");  // not 1000 k
    CHECK(text_of(2.5e9, Quantity::count) == "2.5 B");
    CHECK(text_of(3.4e15, Quantity::flops) == "3.4 PFLOP");
    CHECK(text_of(0.414, Quantity::share) == "41.4 %");
    CHECK(text_of(12.34, Quantity::seconds) == "12.3 s");
    CHECK(text_of(59.99, Quantity::seconds) == "1 min");
    CHECK(text_of(90, Quantity::seconds) == "1 min 30 s");
    CHECK(text_of(3599.8, Quantity::seconds) == "1 h");
    CHECK(text_of(5400, Quantity::seconds) == "1 h 30 min");
    CHECK(text_of(60 * 3600, Quantity::seconds) == "2 d 12 h");
}

TEST_CASE("an axis is marked at round values inside of it, not at more than there is room for") {
    CHECK(text_of(round_values(0, 10, 5, Quantity::number)[0], Quantity::number) == "0");  // not -0
    CHECK(round_values(0, 10, 5, Quantity::number) == std::vector<double>{0, 2, 4, 6, 8, 10});
    CHECK(round_values(3.2, 7.1, 4, Quantity::number) == std::vector<double>{4, 5, 6, 7});
    CHECK(round_values(0, 3, 8, Quantity::count) == std::vector<double>{0, 1, 2, 3});  // no half steps
    CHECK(round_values(0, 200, 4, Quantity::seconds) == std::vector<double>{0, 60, 120, 180});
    CHECK(round_values(0, 10 * 3600.0, 4, Quantity::seconds) ==
          std::vector<double>{0, 3 * 3600.0, 6 * 3600.0, 9 * 3600.0});
    for (const double high : {1e-7, 0.3, 1.0, 7.0, 86400.0 * 30, 1e22})
        for (const Quantity quantity : {Quantity::number, Quantity::flops, Quantity::seconds}) {
            const std::vector<double> values = round_values(0, high, 4, quantity);
            CHECK(values.size() >= 2);
            CHECK(values.size() <= 5);
            CHECK(values.back() <= high * (1 + 1e-9));
        }
}

TEST_CASE("a thinned curve keeps every spike, and its points their order") {
    std::vector<Point> points;
    for (int i = 0; i < 10'000; ++i) points.push_back({static_cast<double>(i), std::sin(i * 0.01)});
    points[3333].y = 50;
    points[7777].y = -50;
    const std::vector<Point> few = thinned(points, 0, 10'000, 100);
    CHECK(few.size() <= 200);
    CHECK(few.size() >= 100);
    CHECK(std::ranges::is_sorted(few, {}, &Point::x));
    CHECK(std::ranges::any_of(few, [](const Point& p) { return p.x == 3333 && p.y == 50; }));
    CHECK(std::ranges::any_of(few, [](const Point& p) { return p.x == 7777 && p.y == -50; }));
    CHECK(thinned(points, 0, 10'000, 5000).size() == points.size());  // nothing to gain
    points.resize(3);
    CHECK(thinned(points, 0, 10'000, 100).size() == 3);
}

TEST_CASE("the value of a curve between its points and beyond them") {
    const std::vector<Point> points = {{1, 10}, {2, 20}, {4, 0}};
    CHECK(value_at(points, 1.5) == 15);
    CHECK(value_at(points, 3) == 10);
    CHECK(value_at(points, 0) == 10);
    CHECK(value_at(points, 9) == 0);
}

TEST_CASE("a diagram is well-formed, has the series' names escaped, and their values in the titles of its strips") {
    const Plot plot{
        .x = {"tokens", Quantity::count},
        .y = {"loss <nats>", Quantity::number},
        .series = {
            {"a<b & \"c\"", 0, {{0, 9}, {1000, 4}, {2000, 3}}}, {"other", 1, {{0, 8}, {2000, 5}}}, {"none", 2, {}}}};
    const std::string svg = plot_svg(plot);
    CHECK(not_well_formed(svg) == "");
    CHECK(svg.find("a&lt;b &amp; &quot;c&quot;") != std::string::npos);
    CHECK(svg.find("none") == std::string::npos);
    CHECK(svg.find("tokens: 978.3\n4.109  a&lt;b") != std::string::npos);  // 22.5 of 46 strips: 9 − 5 · 0.9783
    CHECK(svg.find("http") == std::string::npos);
    const std::string file = plot_file(plot);
    CHECK(not_well_formed(file) == "");
    CHECK(file.starts_with("<svg"));
    CHECK(file.find("xmlns=\"http://www.w3.org/2000/svg\"") != std::string::npos);
}

TEST_CASE("curves without a range, without points, or of many series are drawn too") {
    const auto drawn = [](const std::vector<Series>& series) {
        const std::string svg =
            plot_svg({.x = {"steps", Quantity::count}, .y = {"y", Quantity::number}, .series = series});
        CHECK(not_well_formed(svg) == "");
        CHECK(svg.find("nan") == std::string::npos);
        CHECK(svg.find("inf") == std::string::npos);
        return svg;
    };
    drawn({});
    drawn({{"flat", 0, {{1, 2}, {2, 2}}}});
    drawn({{"zero", 0, {{1, 0}}}});
    std::vector<Series> many;
    for (size_t i = 0; i < 100; ++i) {
        many.push_back({"run " + std::to_string(i), i, {}});
        for (int x = 1; x <= 5000; ++x) many.back().points.push_back({double(x), std::sin(x * 0.37) + double(i)});
    }
    const std::string svg = drawn(many);
    CHECK(svg.size() < 400'000);
    CHECK(svg.find("… and 88 more") != std::string::npos);
}

TEST_CASE("24 styles differ in colour or dashes") {
    std::vector<std::string> all;
    for (size_t style = 0; style < kColours * kDashes; ++style) all.push_back(classes_of(style));
    std::ranges::sort(all);
    CHECK(std::ranges::adjacent_find(all) == all.end());
}

TEST_CASE("names of any bytes become text that XML takes") {
    CHECK(escaped("<&>\"") == "&lt;&amp;&gt;&quot;");
    CHECK(escaped("a\x01"
                  "b\xFF") ==
          "a\xEF\xBF\xBD"
          "b\xEF\xBF\xBD");
    Table table({"a", "b"});
    table.add({"x", "1"});
    CHECK(not_well_formed(table.html()) == "");
}
