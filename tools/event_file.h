#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace protolith {

/// The CRC-32C (Castagnoli, RFC 3720 appendix B.4) of `bytes`.
std::uint32_t crc32c(std::string_view bytes);

/// Counts of numbers in bins: counts[i] in [edges[i], edges[i + 1]), those outside, and NaN.
struct HistogramBins {
  std::vector<float> edges;          ///< rising, finite; one more than counts
  std::vector<std::int64_t> counts;  ///< at least one
  std::int64_t below = 0;
  std::int64_t above = 0;
  std::int64_t nan = 0;
};

/// A file of TensorBoard's: TFRecords (length and payload, each with a masked CRC-32C) of `Event`
/// messages in protobuf's wire encoding, format version 2.
///
/// TensorBoard reads the files of a folder in the order of their names and takes them for one run.
/// Every file begins with a SessionLog START, at which TensorBoard drops the steps from there on
/// that files before it hold: what a killed run wrote after its last checkpoint. A run that goes on
/// takes a new file, since nothing can be read behind a record that was cut short.
class EventFile {
 public:
  /// A new file events.out.tfevents.SECONDS.NUMBER.protolith in `folder`, named after every such
  /// file there, even when the clock went back. It appears with the first flush().
  EventFile(const std::filesystem::path& folder, std::int64_t first_step);

  const std::filesystem::path& path() const noexcept { return path_; }

  /// Adds a value, stored as float.
  void scalar(std::string_view tag, std::int64_t step, double value);
  /// Adds a histogram of the bins and of two more for what is below and above, each drawn as wide
  /// as its neighbour; without the empty ones at both ends. Sum and sum of squares are those of the
  /// bins' middles; NaN is not counted. Throws Error when the bins are not what HistogramBins asks
  /// for.
  void histogram(std::string_view tag, std::int64_t step, const HistogramBins& bins);
  /// Appends what was added since the last call; on disk on return. Throws Error when it cannot be
  /// written: the file is as before then, and what was added waits for the next call.
  void flush();

 private:
  void add_record(std::string_view payload);
  std::filesystem::path path_;
  std::string pending_;
};

}  // namespace protolith
