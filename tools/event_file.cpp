#include "tools/event_file.h"

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <span>

#include "engine/check.h"
#include "engine/file.h"
#include "tools/protobuf.h"

namespace protolith {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "events.out.tfevents.";
constexpr std::string_view kSuffix = ".protolith";

constexpr std::array<std::uint32_t, 256> make_crc_table() {
  constexpr std::uint32_t kPolynomial = 0x82F63B78;  // Castagnoli's, bits reversed
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < table.size(); ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    table[byte] = crc;
  }
  return table;
}

/// TFRecord's: a checksum of data that holds its own checksum would be a weak one.
std::uint32_t masked_crc(std::string_view bytes) {
  return std::rotr(crc32c(bytes), 15) + 0xA282EAD8U;
}

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// message Event { double wall_time = 1; int64 step = 2; string file_version = 3;
///                 Summary summary = 5; SessionLog session_log = 7; }
ProtobufMessage event(std::int64_t step) {
  ProtobufMessage message;
  message.number(1, wall_time()).integer(2, step);
  return message;
}

/// message Summary { message Value { string tag = 1; float simple_value = 2;
///                                   HistogramProto histo = 5; }  repeated Value value = 1; }
std::string summary_event(std::int64_t step, const ProtobufMessage& value) {
  return event(step).message(5, ProtobufMessage().message(1, value)).encoded();
}

/// message HistogramProto { double min = 1; max = 2; num = 3; sum = 4; sum_squares = 5;
///                          repeated double bucket_limit = 6; bucket = 7; }
ProtobufMessage histogram_message(const HistogramBins& bins) {
  std::vector<double> edges(bins.edges.begin(), bins.edges.end());
  edges.insert(edges.begin(), 2 * edges[0] - edges[1]);
  edges.push_back(2 * edges.back() - edges[edges.size() - 2]);
  std::vector<double> counts(bins.counts.begin(), bins.counts.end());
  counts.insert(counts.begin(), static_cast<double>(bins.below));
  counts.push_back(static_cast<double>(bins.above));

  // Only from the first bucket that holds something to the last: TensorBoard draws these two from
  // min and to max, some of its readers with empty buckets beyond, some without.
  std::size_t first = 0;
  std::size_t end = counts.size();
  while (first < end && counts[first] == 0) ++first;
  while (end > first && counts[end - 1] == 0) --end;
  std::vector<double> limits;
  double total = 0;
  double sum = 0;
  double sum_squares = 0;
  for (std::size_t i = first; i < end; ++i) {
    const double middle = (edges[i] + edges[i + 1]) / 2;
    limits.push_back(edges[i + 1]);
    total += counts[i];
    sum += counts[i] * middle;
    sum_squares += counts[i] * middle * middle;
  }
  const bool empty = limits.empty();
  ProtobufMessage message;
  message.number(1, empty ? 0.0 : edges[first]).number(2, empty ? 0.0 : edges[end]);
  message.number(3, total).number(4, sum).number(5, sum_squares);
  message.numbers(6, limits);
  message.numbers(7, {counts.data() + first, counts.data() + end});
  return message;
}

void check_bins(std::string_view tag, const HistogramBins& bins) {
  PROTOLITH_CHECK(!bins.counts.empty() && bins.edges.size() == bins.counts.size() + 1,
                  "histogram {}: {} edges do not bound {} bins; give one more edge than bins", tag,
                  bins.edges.size(), bins.counts.size());
  for (std::size_t i = 0; i < bins.edges.size(); ++i) {
    const bool rises = i == 0 || bins.edges[i] > bins.edges[i - 1];
    PROTOLITH_CHECK(std::isfinite(bins.edges[i]) && rises,
                    "histogram {}: edge {} is {}; edges are finite and rise", tag, i,
                    bins.edges[i]);
  }
}

bool is_digits(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// SECONDS.NUMBER, ten and six digits so that names sort as numbers do. Later than those of the
/// event files in `folder`.
std::string next_stamp(const fs::path& folder) {
  constexpr std::size_t kSeconds = 10;
  constexpr std::size_t kNumber = 6;
  constexpr std::size_t kLength = kSeconds + 1 + kNumber;
  std::string last = std::string(kSeconds, '0') + ".000000";
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.size() != kPrefix.size() + kLength + kSuffix.size() || !name.starts_with(kPrefix) ||
        !name.ends_with(kSuffix)) {
      continue;
    }
    const std::string stamp = name.substr(kPrefix.size(), kLength);
    if (is_digits(stamp.substr(0, kSeconds)) && is_digits(stamp.substr(kSeconds + 1))) {
      last = std::max(last, stamp);
    }
  }
  const auto seconds = std::max<std::int64_t>(std::stoll(last.substr(0, kSeconds)),
                                              static_cast<std::int64_t>(wall_time()));
  return fmt::format("{:010}.{:06}", seconds, std::stoll(last.substr(kSeconds + 1)) + 1);
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  static constexpr std::array<std::uint32_t, 256> kTable = make_crc_table();
  std::uint32_t crc = ~0U;
  for (const char c : bytes) crc = (crc >> 8) ^ kTable[(crc ^ static_cast<unsigned char>(c)) & 255];
  return ~crc;
}

EventFile::EventFile(const fs::path& folder, std::int64_t first_step) {
  try {
    path_ = folder / fmt::format("{}{}{}", kPrefix, next_stamp(folder), kSuffix);
  } catch (const fs::filesystem_error& error) {
    throw Error(fmt::format("{}: cannot be read: {}; see to its permissions", folder.string(),
                            error.code().message()));
  }
  add_record(event(0).bytes(3, "brain.Event:2").encoded());
  constexpr std::int64_t kStart = 1;  // message SessionLog { SessionStatus status = 1; }
  add_record(event(first_step).message(7, ProtobufMessage().integer(1, kStart)).encoded());
}

void EventFile::scalar(std::string_view tag, std::int64_t step, double value) {
  add_record(
      summary_event(step, ProtobufMessage().bytes(1, tag).number(2, static_cast<float>(value))));
}

void EventFile::histogram(std::string_view tag, std::int64_t step, const HistogramBins& bins) {
  check_bins(tag, bins);
  add_record(
      summary_event(step, ProtobufMessage().bytes(1, tag).message(5, histogram_message(bins))));
}

void EventFile::flush() {
  append_bytes(path_, std::as_bytes(std::span(pending_)));
  pending_.clear();
}

void EventFile::add_record(std::string_view payload) {
  std::string length;
  append_number(length, std::uint64_t{payload.size()});
  pending_ += length;
  append_number(pending_, masked_crc(length));
  pending_ += payload;
  append_number(pending_, masked_crc(payload));
}

}  // namespace protolith
