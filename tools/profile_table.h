// A profile as a table and as JSON.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "tools/profile_session.h"

namespace protolith {

/// What the device can do at most; 0: not known.
struct ProfilePeak {
  double flops = 0, bandwidth = 0;
};
/// Measured on the CPU, in about 0.2 s; not known of other devices, whose operations take their
/// time after the host's call has returned.
ProfilePeak measured_peak(const Backend& backend);

/// Rows by name and shape with calls, time, operations, bytes and their share of the peak; rows
/// below 0.1 % of the time are one line. `peak`: rates are of all of a range's time.
std::string profile_table(const ProfileReport& report, const ProfilePeak& peak);

/// All rows: "total_ms", "ranges", "range_ns", "range_off_ns", "lost", "operations" (each with
/// "name", "shape", "calls", "total_ms", "self_ms", "share", and where known "gflop", "mbytes",
/// "share_of_peak", "share_of_copy") and "device".
nlohmann::json profile_json(const ProfileReport& report, const ProfilePeak& peak);

}  // namespace protolith
