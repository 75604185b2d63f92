// The memory plan as a picture, for `inspect --svg` and the report.
#pragma once

#include <string>

#include "engine/memory_plan.h"

namespace dropforge {

/// An SVG document: x = op, y = address, one rectangle per placed storage from its first write to its last use,
/// coloured by layer, with name, size and life as tooltip. A line gives the bytes alive at each op; where it touches
/// the top, the plan is as small as can be. Classes let a page's stylesheet change the colours around them.
std::string plan_svg(const Program& program, const MemoryPlan& plan);

}  // namespace dropforge
