// Event files, read by a reader of their own; tests/interop reads them with TensorBoard.
#include "tools/event_file.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <chrono>
#include <csignal>
#include <limits>

#include "engine/check.h"
#include "tests/engine/child_process.h"
#include "tests/tools/event_reader.h"

namespace protolith::testing {
namespace {

using Doubles = std::vector<double>;

/// The messages of a file's records.
std::vector<Fields> events_of(const std::filesystem::path& file) {
  std::vector<Fields> events;
  for (const std::string& record : read_records(slurp(file))) {
    events.push_back(read_fields(record));
  }
  return events;
}

/// The Summary.Value of an event.
Fields value_of(const Fields& event) {
  return read_fields(field(read_fields(field(event, 5)), 1));
}

}  // namespace

TEST_CASE("CRC-32C gives the known answers") {
  CHECK(crc32c("") == 0);
  CHECK(crc32c("123456789") == 0xE3069283);
  // RFC 3720, appendix B.4.
  CHECK(crc32c(std::string(32, '\0')) == 0x8A9136AA);
  CHECK(crc32c(std::string(32, '\xFF')) == 0x62A8AB43);
  std::string rising;
  for (char c = 0; c < 32; ++c) rising += c;
  CHECK(crc32c(rising) == 0x46DD794E);
}

TEST_CASE("records are framed as TFRecords") {
  const TemporaryFolder folder;
  EventFile file(folder.path(), 0);
  CHECK(folder.entries() == 0);  // nothing before the first flush
  file.flush();
  const std::string bytes = slurp(file.path());
  std::string_view rest = bytes;
  const auto length = take<std::uint64_t>(rest);
  CHECK(take<std::uint32_t>(rest) == slow_masked_crc(bytes.substr(0, 8)));
  const std::string payload(rest.substr(0, length));
  rest.remove_prefix(length);
  CHECK(take<std::uint32_t>(rest) == slow_masked_crc(payload));
  CHECK(field(read_fields(payload), 3) == "brain.Event:2");
  CHECK(read_records(bytes).size() == 2);
}

TEST_CASE("a file holds its version, a START at the first step, then what was added") {
  const TemporaryFolder folder;
  EventFile file(folder.path(), 300);
  file.scalar("train/loss", 400, 0.1);
  file.scalar("val/loss", std::int64_t{1} << 40, -std::numeric_limits<double>::infinity());
  file.flush();
  file.scalar("train/loss", 0, 2.5);
  file.flush();
  file.flush();  // nothing more
  const std::vector<Fields> events = events_of(file.path());
  REQUIRE(events.size() == 5);
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  for (const Fields& event : events) {
    const auto time = number<double>(event, 1);
    CHECK(time <= now.count());
    CHECK(time > now.count() - 60);
  }
  CHECK(field(events[0], 3) == "brain.Event:2");
  CHECK(number<std::int64_t>(events[1], 2) == 300);
  CHECK(number<std::int64_t>(read_fields(field(events[1], 7)), 1) == 1);
  CHECK(number<std::int64_t>(events[2], 2) == 400);
  CHECK(field(value_of(events[2]), 1) == "train/loss");
  CHECK(number<float>(value_of(events[2]), 2) == 0.1F);
  CHECK(number<std::int64_t>(events[3], 2) == std::int64_t{1} << 40);
  CHECK(number<float>(value_of(events[3]), 2) == -std::numeric_limits<float>::infinity());
  CHECK(number<float>(value_of(events[4]), 2) == 2.5F);
}

TEST_CASE("a histogram gets a bucket for what is below and one for what is above") {
  const TemporaryFolder folder;
  EventFile file(folder.path(), 0);
  file.histogram("all", 7, {{0, 1, 3}, {4, 2}, 1, 5, 9});
  file.histogram("inside", 7, {{0, 1, 3, 4, 6}, {0, 2, 0, 3}});
  file.histogram("none", 7, {{-2, 2}, {0}, 0, 0, 3});
  file.flush();
  const std::vector<Fields> events = events_of(file.path());
  REQUIRE(events.size() == 5);
  const Fields all = read_fields(field(value_of(events[2]), 5));
  CHECK(number<std::int64_t>(events[2], 2) == 7);
  CHECK(field(value_of(events[2]), 1) == "all");
  CHECK(number<double>(all, 1) == -1);
  CHECK(number<double>(all, 2) == 5);
  CHECK(number<double>(all, 3) == 12);
  CHECK(number<double>(all, 4) == -0.5 + 4 * 0.5 + 2 * 2 + 5 * 4);
  CHECK(number<double>(all, 5) == 0.25 + 4 * 0.25 + 2 * 4 + 5 * 16);
  CHECK(numbers(all, 6) == Doubles{0, 1, 3, 5});
  CHECK(numbers(all, 7) == Doubles{1, 4, 2, 5});
  // Empty buckets at the ends are left out.
  const Fields inside = read_fields(field(value_of(events[3]), 5));
  CHECK(number<double>(inside, 1) == 1);
  CHECK(number<double>(inside, 2) == 6);
  CHECK(number<double>(inside, 3) == 5);
  CHECK(numbers(inside, 6) == Doubles{3, 4, 6});
  CHECK(numbers(inside, 7) == Doubles{2, 0, 3});
  const Fields none = read_fields(field(value_of(events[4]), 5));
  CHECK(number<double>(none, 3) == 0);
  CHECK(numbers(none, 6).empty());
  CHECK(numbers(none, 7).empty());
}

TEST_CASE("bins that are none are refused") {
  const TemporaryFolder folder;
  EventFile file(folder.path(), 0);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const HistogramBins& bins :
       {HistogramBins{}, HistogramBins{{0}, {}}, HistogramBins{{0, 1}, {1, 2}},
        HistogramBins{{0, 1, 1}, {1, 2}}, HistogramBins{{0, nan}, {1}},
        HistogramBins{{0, std::numeric_limits<float>::infinity()}, {1}}}) {
    CHECK_THROWS_WITH_AS(file.histogram("odd", 0, bins), doctest::Contains("histogram odd"), Error);
  }
}

TEST_CASE("every file of a folder sorts after those before it") {
  const TemporaryFolder folder;
  const auto name_of_next = [&] {
    EventFile file(folder.path(), 0);
    file.flush();
    return file.path().filename().string();
  };
  std::string previous = name_of_next();
  CHECK(previous.starts_with("events.out.tfevents."));
  CHECK(previous.ends_with(".000001.protolith"));
  for (int i = 0; i < 11; ++i) {  // past 9 in the same second
    const std::string next = name_of_next();
    CHECK(next > previous);
    previous = next;
  }
  // A clock that went back; and files that only look like ours.
  spill(folder / "events.out.tfevents.5000000000.000041.protolith", "");
  spill(folder / "events.out.tfevents.6000000000.00004x.protolith", "");
  spill(folder / "events.out.tfevents.7000000000.host.protolith", "");
  CHECK(name_of_next() == "events.out.tfevents.5000000000.000042.protolith");
}

TEST_CASE("a record that was cut short ends its file; the next file is read") {
  const TemporaryFolder folder;
  EventFile first(folder.path(), 0);
  for (const std::int64_t step : {5, 10, 15}) {
    first.scalar("loss", step, static_cast<double>(step));
  }
  first.flush();
  const std::string whole = slurp(first.path());
  std::filesystem::resize_file(first.path(), whole.size() - 3);
  EventFile second(folder.path(), 10);
  second.scalar("loss", 10, 100);
  second.scalar("loss", 15, 150);
  second.flush();
  CHECK(slurp(first.path()) == whole.substr(0, whole.size() - 3));
  const std::vector<std::pair<std::int64_t, float>> expected{{5, 5}, {10, 100}, {15, 150}};
  CHECK(shown_scalars(folder.path()).at("loss") == expected);
}

TEST_CASE("a full disk leaves the file as it was; what was added goes with the next flush") {
  const TemporaryFolder folder;
  const std::string outcome = in_child([&] {
    std::signal(SIGXFSZ, SIG_IGN);
    EventFile file(folder.path(), 0);
    file.flush();
    const std::string before = slurp(file.path());
    file.scalar("loss", 1, 0.5);
    rlimit limit{};
    getrlimit(RLIMIT_FSIZE, &limit);
    const rlimit full{before.size() + 10, limit.rlim_max};
    setrlimit(RLIMIT_FSIZE, &full);
    try {
      file.flush();
      return std::string("written");
    } catch (const Error& error) {
      if (std::string(error.what()).find("tfevents") == std::string::npos) {
        return std::string(error.what());
      }
    }
    if (slurp(file.path()) != before) return std::string("torn");
    setrlimit(RLIMIT_FSIZE, &limit);
    file.flush();
    return std::string("kept");
  });
  CHECK(outcome == "kept");
  CHECK(shown_scalars(folder.path()).at("loss").size() == 1);
}

TEST_CASE("a folder that is missing is an error that names it") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH_AS(EventFile(folder / "nowhere", 0), doctest::Contains("nowhere"), Error);
}

}  // namespace protolith::testing
