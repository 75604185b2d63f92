#include "report/time_to_loss.h"

#include <algorithm>

#include "report/configurations.h"

namespace dropforge::report {

namespace {

bool is_dense(const ReportedRun& run) { return run.config && run.config->train.method == "dense"; }

/// The number of keys that differ; none if the losses of the two say nothing about each other.
std::optional<size_t> distance(const RunConfig& a, const RunConfig& b) {
    size_t count = 0;
    for (const std::string& key : differing_keys({&a, &b})) {
        if (key.starts_with("data.") && key != "data.path") return {};
        ++count;
    }
    return count;
}

std::optional<size_t> nearest_dense(const std::vector<ReportedRun>& runs, const ReportedRun& run) {
    std::optional<size_t> nearest, least;
    for (size_t i = 0; i < runs.size(); ++i) {
        if (!is_dense(runs[i]) || runs[i].metrics.evaluations().empty()) continue;
        const std::optional<size_t> keys = distance(*runs[i].config, *run.config);
        if (!keys || (least && *keys >= *least)) continue;
        nearest = i;
        least = keys;
    }
    return nearest;
}

double lowest(const std::vector<Point>& curve) { return std::ranges::min(curve, {}, &Point::y).y; }

}  // namespace

std::optional<double> first_reaches(const std::vector<Point>& curve, double level) {
    const auto next = std::ranges::find_if(curve, [&](const Point& point) { return point.y <= level; });
    if (next == curve.end()) return {};
    if (next == curve.begin()) return next->x;
    const Point before = *std::prev(next);
    return before.x + (before.y - level) / (before.y - next->y) * (next->x - before.x);
}

std::vector<TimeToLoss> times_to_loss(const std::vector<ReportedRun>& runs) {
    std::vector<TimeToLoss> times;
    for (size_t i = 0; i < runs.size(); ++i) {
        if (!runs[i].config || is_dense(runs[i]) || runs[i].metrics.evaluations().empty()) continue;
        const std::optional<size_t> dense = nearest_dense(runs, runs[i]);
        if (!dense) continue;
        const std::vector<Point> own = runs[i].validation_loss(Against::steps),
                                 other = runs[*dense].validation_loss(Against::steps);
        const double loss = std::max(lowest(own), lowest(other));
        times.push_back({i, *dense, loss, *first_reaches(own, loss), *first_reaches(other, loss)});
    }
    return times;
}

double saving(const std::vector<ReportedRun>& runs, const TimeToLoss& time, Against against) {
    return 1 - runs[time.run].x_at(time.run_step, against) / runs[time.dense].x_at(time.dense_step, against);
}

}  // namespace dropforge::report
