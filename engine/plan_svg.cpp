#include "engine/plan_svg.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/xml.h"

namespace dropforge {

namespace {

constexpr double kWidth = 1200, kHeight = 600;                      // of the plot
constexpr double kLeft = 80, kTop = 50, kRight = 20, kBottom = 60;  // around it

/// The part of a name before its first '/': "layer3".
std::string group_of(const std::string& name) {
    const size_t slash = name.find('/');
    return slash == name.npos ? "" : name.substr(0, slash);
}

/// Colour of a storage: hues of groups are the golden angle apart, so that neighbours differ; names without a group are
/// grey.
std::string colour(const std::vector<std::string>& groups, const std::string& name) {
    const std::string group = group_of(name);
    if (group.empty()) return "#9aa5b1";
    const auto place = std::ranges::find(groups, group) - groups.begin();
    return fmt::format("hsl({:.0f},45%,64%)", std::fmod(210 + 137.508 * static_cast<double>(place), 360));
}

/// A round number of megabytes for about eight marks on an axis of that length.
double mark_distance(double megabytes) {
    const double rough = megabytes / 8, power = std::pow(10, std::floor(std::log10(rough)));
    for (double factor : {1.0, 2.0, 5.0})
        if (factor * power >= rough) return factor * power;
    return 10 * power;
}

class Picture {
  public:
    Picture(const Program& program, const MemoryPlan& plan)
        : program_(program),
          plan_(plan),
          x_scale_(kWidth / static_cast<double>(std::max<size_t>(program.ops().size(), 1))),
          y_scale_(kHeight / static_cast<double>(std::max<int64_t>(plan.bytes, 1))) {
        for (const Storage& storage : program.storages())
            if (const std::string group = group_of(storage.name);
                !group.empty() && std::ranges::count(groups_, group) == 0)
                groups_.push_back(group);
    }

    std::string draw() {
        text_ = fmt::format(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plan\" viewBox=\"0 0 {:.0f} {:.0f}\" "
            "font-family=\"sans-serif\" "
            "font-size=\"12\">\n"
            "<rect class=\"paper\" width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
            "<text x=\"{:.0f}\" y=\"24\" font-size=\"16\">{}: {:.3f} MB planned, lower bound {:.3f} MB</text>\n",
            kLeft + kWidth + kRight, kTop + kHeight + kBottom, kLeft, xml_escaped(program_.name()),
            static_cast<double>(plan_.bytes) / 1e6, static_cast<double>(plan_.lower_bound) / 1e6);
        address_axis();
        op_axis();
        for (size_t i = 0; i < plan_.slots.size(); ++i)
            if (plan_.slots[i].offset >= 0) storage(i);
        live_line();
        return text_ + "</svg>\n";
    }

  private:
    double x(double op) const { return kLeft + op * x_scale_; }
    double y(double address) const { return kTop + kHeight - address * y_scale_; }
    const std::string& op_name(int32_t op) const { return program_.ops()[static_cast<size_t>(op)].name; }

    void address_axis() {
        const double megabytes = static_cast<double>(plan_.bytes) / 1e6;
        if (plan_.bytes == 0) return;
        const double step = mark_distance(megabytes);
        for (int i = 0; i * step <= megabytes; ++i)
            text_ += fmt::format(
                "<path class=\"grid\" d=\"M{:.1f} {:.1f}h{:.0f}\" stroke=\"#ddd\"/><text x=\"{:.1f}\" y=\"{:.1f}\" "
                "text-anchor=\"end\">{:g} MB</text>\n",
                kLeft, y(i * step * 1e6), kWidth, kLeft - 6, y(i * step * 1e6) + 4, i * step);
    }

    /// Group names below the ops at which a new group of ops begins, where there is room.
    void op_axis() {
        double free_from = 0;
        std::string before = "/";
        for (int32_t op = 0; op < static_cast<int32_t>(program_.ops().size()); ++op) {
            const std::string group = group_of(op_name(op));
            if (group != before && !group.empty() && x(op) >= free_from) {
                text_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", x(op), kTop + kHeight + 18,
                                     xml_escaped(group));
                free_from = x(op) + 8 * static_cast<double>(group.size()) + 8;
            }
            before = group;
        }
        text_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{} ops in order</text>\n",
                             kLeft + kWidth / 2, kTop + kHeight + 42, program_.ops().size());
    }

    void storage(size_t i) {
        const MemoryPlan::Slot& slot = plan_.slots[i];
        const Storage& storage = program_.storages()[i];
        const auto end = static_cast<double>(slot.offset + storage.bytes);
        text_ += fmt::format(
            "<rect x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{:.2f}\" fill=\"{}\" stroke=\"white\" "
            "stroke-width=\"0.4\">"
            "<title>{}\n{:.3f} MB at {:.3f} MB\n{} … {}</title></rect>\n",
            x(slot.first), y(end), (slot.last - slot.first + 1) * x_scale_,
            static_cast<double>(storage.bytes) * y_scale_, colour(groups_, storage.name), xml_escaped(storage.name),
            static_cast<double>(storage.bytes) / 1e6, static_cast<double>(slot.offset) / 1e6,
            xml_escaped(op_name(slot.first)), xml_escaped(op_name(slot.last)));
    }

    void live_line() {
        if (program_.ops().empty()) return;
        std::vector<int64_t> change(program_.ops().size() + 1);
        for (size_t i = 0; i < plan_.slots.size(); ++i) {
            const MemoryPlan::Slot& slot = plan_.slots[i];
            if (slot.offset < 0) continue;
            // In place, the input still has the memory at the op that writes the output.
            const int32_t first = slot.shares >= 0 ? slot.first + 1 : slot.first;
            change[static_cast<size_t>(first)] += program_.storages()[i].bytes;
            change[static_cast<size_t>(slot.last) + 1] -= program_.storages()[i].bytes;
        }
        std::string path;
        int64_t live = 0;
        for (size_t op = 0; op < program_.ops().size(); ++op) {
            live += change[op];
            path += fmt::format("{}{:.1f} {:.1f}H{:.1f}", op == 0 ? "M" : "L", x(static_cast<double>(op)),
                                y(static_cast<double>(live)), x(static_cast<double>(op + 1)));
        }
        text_ += fmt::format(
            "<path class=\"alive\" d=\"{}\" fill=\"none\" stroke=\"#222\"><title>bytes alive</title></path>\n", path);
    }

    const Program& program_;
    const MemoryPlan& plan_;
    double x_scale_, y_scale_;  // per op, per byte
    std::vector<std::string> groups_;
    std::string text_;
};

}  // namespace

std::string plan_svg(const Program& program, const MemoryPlan& plan) { return Picture(program, plan).draw(); }

}  // namespace dropforge
