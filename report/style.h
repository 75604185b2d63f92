// How the report looks: one stylesheet for the page and for diagrams that are files of their own.
#pragma once

#include <string>

namespace dropforge::report {

/// Series go round by these; two styles differ in colour or dashes up to kColours · kDashes.
inline constexpr size_t kColours = 6, kDashes = 4;

/// "c2 d1": the classes that give a series its colour and dashes.
std::string classes_of(size_t style);

/// CSS of diagrams, on light and dark ground.
extern const char* const kPlotStyle;
/// CSS of what is around them.
extern const char* const kPageStyle;

}  // namespace dropforge::report
