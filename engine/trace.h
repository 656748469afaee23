// Profiles as files of the trace event format, which chrome://tracing and ui.perfetto.dev show.
#pragma once

#include <span>
#include <string>

#include "engine/file.h"
#include "engine/profile.h"

namespace protolith {

/// What a trace file holds.
struct Trace {
  std::span<const ProfileEvent> host;
  std::span<const DeviceEvent> device;
  std::string description;    ///< of the device, shown beside the trace
  std::uint64_t dropped = 0;  ///< ranges and records that are missing
};

/// Writes the trace into `file`, which it does not commit. Every event has ph, ts, dur, pid, tid
/// and name; times are microseconds since the first one. The host's ranges are process 1, the
/// device's work is process 2 with a row for each stream. Throws Error when the disk is full or
/// fails.
void write_trace(AtomicFile& file, const Trace& trace);

}  // namespace protolith
