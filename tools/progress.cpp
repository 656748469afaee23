#include "tools/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iostream>
#include <limits>

namespace protolith {
namespace {

constexpr double kRedrawSeconds = 0.1;

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Progress::Style style_of_stderr(bool quiet) {
  if (quiet) return Progress::Style::none;
  return isatty(STDERR_FILENO) == 1 ? Progress::Style::live : Progress::Style::plain;
}

}  // namespace

Progress::Progress(bool quiet) : Progress(std::cerr, style_of_stderr(quiet), steady_seconds) {}

Progress::Progress(std::ostream& out, Style style, Clock clock)
    : out_(&out), style_(style), clock_(std::move(clock)), started_(clock_()) {}

Progress::~Progress() {
  try {
    finish();
  } catch (...) {  // a broken terminal must not end the program
  }
}

void Progress::start(std::string label, std::int64_t done) {
  label_ = std::move(label);
  first_ = done;
  started_ = clock_();
  drawn_ = -std::numeric_limits<double>::infinity();  // so that the first update shows
}

bool Progress::wants_update() const {
  return style_ == Style::live && clock_() - drawn_ >= kRedrawSeconds;
}

void Progress::update(const ProgressState& state) {
  if (!wants_update()) return;
  drawn_ = clock_();
  std::string text = fmt::format("{}: {}", label_, state.done);
  if (state.total > 0) text += fmt::format("/{}", state.total);
  text += fmt::format(" {}", state.unit);
  if (state.loss) text += fmt::format(", loss {:.4f}", *state.loss);
  if (state.accuracy) text += fmt::format(", accuracy {:.2f} %", 100 * *state.accuracy);
  const std::string speed = rate(state);
  if (!speed.empty()) text += ", " + speed;
  erase();
  *out_ << text << std::flush;
  visible_ = true;
}

std::string Progress::rate(const ProgressState& state) const {
  const double seconds = clock_() - started_;
  if (state.done <= first_ || seconds <= 0) return {};
  const double rate = static_cast<double>(state.done - first_) / seconds;
  std::string text = fmt::format("{:.{}f} {}/s", rate, rate < 1 ? 3 : 1, state.unit);
  if (state.total > state.done) {
    text += fmt::format(", {}{} left", state.open_ended ? "at least " : "",
                        format_duration(static_cast<double>(state.total - state.done) / rate));
  }
  return text;
}

void Progress::line(const std::string& text) {
  if (style_ == Style::none) return;
  erase();
  *out_ << text << '\n' << std::flush;
}

void Progress::finish() {
  erase();
  *out_ << std::flush;
}

void Progress::erase() {
  if (visible_) *out_ << "\r\033[K";
  visible_ = false;
}

std::string format_duration(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::llround(std::clamp(seconds, 0.0, 1e12)));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole / 60 % 60);
}

}  // namespace protolith
