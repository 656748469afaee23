#include "engine/trace.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

namespace protolith {
namespace {

constexpr int kHost = 1, kDevice = 2;

std::string json_text(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// Appends lines to a file in large pieces.
class Lines {
 public:
  explicit Lines(AtomicFile& file) : file_(file) {}

  /// One event of the list.
  void event(std::string_view text) {
    buffer_ += first_ ? "\n" : ",\n";
    first_ = false;
    raw(text);
  }
  void raw(std::string_view text) {
    buffer_ += text;
    if (buffer_.size() > kPiece) flush();
  }
  void flush() {
    file_.write(std::as_bytes(std::span(buffer_)));
    buffer_.clear();
  }

 private:
  static constexpr std::size_t kPiece = std::size_t{1} << 20U;
  AtomicFile& file_;
  std::string buffer_;
  bool first_ = true;
};

/// Names a process, or with `thread` one of its rows.
std::string name_event(const char* what, int process, std::uint32_t thread,
                       const std::string& name) {
  return fmt::format(
      R"({{"ph":"M","ts":0,"dur":0,"pid":{},"tid":{},"name":"{}","args":{{"name":{}}}}})", process,
      thread, what, json_text(name));
}

/// `arguments`: JSON members, or none.
std::string complete_event(std::int64_t begin, std::int64_t duration, int process,
                           std::uint32_t thread, std::string_view name,
                           const std::string& arguments) {
  return fmt::format(
      R"({{"ph":"X","ts":{:.3f},"dur":{:.3f},"pid":{},"tid":{},"name":{},"args":{{{}}}}})",
      static_cast<double>(begin) * 1e-3, static_cast<double>(duration) * 1e-3, process, thread,
      json_text(name), arguments);
}

std::string arguments_of(const ProfileEvent& event) {
  std::string text;
  const auto add = [&](const char* key, double value) {
    if (value > 0) text += fmt::format("{}\"{}\":{:.0f}", text.empty() ? "" : ",", key, value);
  };
  add("flops", event.cost.flops);
  add("bytes", event.cost.bytes);
  return text;
}

std::string arguments_of(const DeviceEvent& event) {
  std::string text = fmt::format(R"("stream":{})", event.stream);
  if (event.graph != 0) text += fmt::format(R"(,"graph":{})", event.graph);
  if (event.bytes != 0) text += fmt::format(R"(,"bytes":{})", event.bytes);
  return text;
}

std::int64_t first_time(const Trace& trace) {
  std::int64_t first = std::numeric_limits<std::int64_t>::max();
  for (const ProfileEvent& event : trace.host) first = std::min(first, event.begin);
  for (const DeviceEvent& event : trace.device) first = std::min(first, event.begin);
  return first;
}

/// Outer ranges before those inside them, as viewers expect where both begin at once.
std::vector<const ProfileEvent*> in_order(std::span<const ProfileEvent> events) {
  std::vector<const ProfileEvent*> order;
  order.reserve(events.size());
  for (const ProfileEvent& event : events) order.push_back(&event);
  std::sort(order.begin(), order.end(), [](const ProfileEvent* a, const ProfileEvent* b) {
    return std::tie(a->begin, a->depth) < std::tie(b->begin, b->depth);
  });
  return order;
}

}  // namespace

void write_trace(AtomicFile& file, const Trace& trace) {
  Lines lines(file);
  lines.raw(R"({"traceEvents":[)");
  lines.event(name_event("process_name", kHost, 0, "protolith"));
  lines.event(name_event("thread_name", kHost, 1, "main thread"));
  const std::int64_t origin = first_time(trace);
  for (const ProfileEvent* event : in_order(trace.host)) {
    lines.event(complete_event(event->begin - origin, event->duration(), kHost, 1, event->label(),
                               arguments_of(*event)));
  }
  std::set<std::uint32_t> streams;
  for (const DeviceEvent& event : trace.device) {
    if (streams.empty()) {
      lines.event(name_event("process_name", kDevice, 0, trace.description));
    }
    if (streams.insert(event.stream).second) {
      lines.event(
          name_event("thread_name", kDevice, event.stream, fmt::format("stream {}", event.stream)));
    }
    lines.event(complete_event(event.begin - origin, event.duration(), kDevice, event.stream,
                               event.name, arguments_of(event)));
  }
  lines.raw(
      fmt::format("\n],\n\"displayTimeUnit\":\"ms\",\n\"otherData\":{{\"device\":{},"
                  "\"missing\":{}}}}}\n",
                  json_text(trace.description), trace.dropped));
  lines.flush();
}

}  // namespace protolith
