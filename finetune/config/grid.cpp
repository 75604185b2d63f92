#include "finetune/config/grid.h"

#include <algorithm>

#include "base/error.h"

namespace dropforge {

namespace {

struct Axis {
    std::string key;
    std::vector<std::string> values;
};

std::vector<Axis> axes_of(const std::string& grid) {
    std::vector<Axis> axes;
    for (size_t begin = 0; begin <= grid.size();) {
        const size_t end = std::min(grid.find(',', begin), grid.size());
        std::string value = grid.substr(begin, end - begin);
        begin = end + 1;
        if (const size_t equals = value.find('='); equals != std::string::npos) {
            std::string key = value.substr(0, equals);
            if (key.find('.') == std::string::npos) key.insert(0, "train.");
            require(std::ranges::count(axes, key, &Axis::key) == 0, "--grid: {} is there twice", key);
            axes.push_back({std::move(key), {}});
            value.erase(0, equals + 1);
        }
        require(!axes.empty() && !value.empty(), "--grid: expected key=value,value,key=value…, got {}", grid);
        axes.back().values.push_back(std::move(value));
    }
    return axes;
}

}  // namespace

std::vector<std::vector<Setting>> grid_points(const std::string& grid) {
    std::vector<std::vector<Setting>> points(1);
    for (const Axis& axis : axes_of(grid)) {
        std::vector<std::vector<Setting>> more;
        for (const std::vector<Setting>& point : points)
            for (const std::string& value : axis.values)
                more.emplace_back(point).push_back({.key = axis.key, .value = value, .where = "--grid"});
        points = std::move(more);
    }
    return points;
}

}  // namespace dropforge
