// Escaping of text in XML, such as SVG files.
#pragma once

#include <string>
#include <string_view>

namespace dropforge {

/// `text` as the content of an element or a quoted attribute.
std::string xml_escaped(std::string_view text);

}  // namespace dropforge
