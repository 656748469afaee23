#pragma once

#include <string>
#include <vector>

#include "tools/report_data.h"

namespace protolith {

/// `text` with HTML's special characters escaped, for elements and attributes.
std::string html_escape(const std::string& text);

/// One HTML page on the runs that needs nothing else: no scripts, no fonts, no other files. Figures
/// are SVG inside it. The same runs give the same bytes. Throws Error when gnuplot cannot draw.
std::string report_page(const std::vector<ReportedRun>& runs);

}  // namespace protolith
