#include "tools/progress.h"

#include <doctest/doctest.h>

#include <sstream>

namespace protolith {
namespace {

/// A progress display of `style` on a string, with a clock that the test sets.
struct Display {
  explicit Display(Progress::Style style) : progress(out, style, [this] { return now; }) {}
  std::string take() {
    std::string text = out.str();
    out.str("");
    return text;
  }
  double now = 100;
  std::ostringstream out;
  Progress progress;
};

TEST_CASE("the live line gives rate, loss, accuracy and the time left") {
  Display display(Progress::Style::live);
  display.progress.start("train", 100);
  display.now += 2;
  display.progress.update({150, 400, 1.25, 0.5});
  CHECK(display.take() ==
        "train: 150/400 episodes, loss 1.2500, accuracy 50.00 %, 25.0 episodes/s, 10 s left");
  display.progress.line("epoch 1");
  CHECK(display.take() == "\r\033[Kepoch 1\n");
  display.now += 2;
  display.progress.update({200, 0});
  CHECK(display.take() == "train: 200 episodes, 25.0 episodes/s");
  display.progress.finish();
  CHECK(display.take() == "\r\033[K");
  display.progress.finish();
  CHECK(display.take().empty());
}

TEST_CASE("the line names the unit that is counted") {
  Display display(Progress::Style::live);
  display.progress.start("eval");
  display.now += 2;
  display.progress.update({.done = 50, .total = 100, .unit = "images"});
  CHECK(display.take() == "eval: 50/100 images, 25.0 images/s, 2 s left");
}

TEST_CASE("rate and time left can end a line, on a terminal or not") {
  for (const auto style : {Progress::Style::live, Progress::Style::plain, Progress::Style::none}) {
    Display display(style);
    display.progress.start("train", 100);
    CHECK(display.progress.rate({.done = 100, .total = 200}).empty());  // no time, no episodes
    CHECK(display.progress.rate({.done = 101, .total = 200}).empty());  // no time
    display.now += 10;
    CHECK(display.progress.rate({.done = 100, .total = 200}).empty());  // no episodes
    CHECK(display.progress.rate({.done = 143, .total = 9173}) ==
          "4.3 episodes/s, 35 min 00 s left");
    CHECK(display.progress.rate({.done = 143, .total = 9173, .open_ended = true}) ==
          "4.3 episodes/s, at least 35 min 00 s left");
    CHECK(display.progress.rate({.done = 143}) == "4.3 episodes/s");
    CHECK(display.progress.rate({.done = 200, .total = 200}) == "10.0 episodes/s");  // the end
    CHECK(display.progress.rate({.done = 101, .total = 102}) == "0.100 episodes/s, 10 s left");
    CHECK(display.take().empty());
  }
}

TEST_CASE("the live line is redrawn at most ten times a second") {
  Display display(Progress::Style::live);
  display.progress.start("train");
  display.progress.update({1, 10});
  CHECK(!display.take().empty());
  display.now += 0.09;
  display.progress.update({2, 10});
  CHECK(display.take().empty());
  display.now += 0.02;
  display.progress.update({3, 10});
  CHECK(display.take().starts_with("\r\033[Ktrain: 3/10"));
}

TEST_CASE("without a terminal there are whole lines only; quiet, nothing") {
  Display plain(Progress::Style::plain);
  plain.progress.start("train");
  plain.now += 1;
  plain.progress.update({1, 10});
  plain.progress.line("epoch 1");
  plain.progress.finish();
  CHECK(plain.take() == "epoch 1\n");

  Display none(Progress::Style::none);
  none.progress.start("train");
  none.now += 1;
  none.progress.update({1, 10});
  none.progress.line("epoch 1");
  none.progress.finish();
  CHECK(none.take().empty());
}

TEST_CASE("durations for people") {
  CHECK(format_duration(0.4) == "0 s");
  CHECK(format_duration(59.6) == "1 min 00 s");
  CHECK(format_duration(185) == "3 min 05 s");
  CHECK(format_duration(7620) == "2 h 07 min");
  CHECK(format_duration(-5) == "0 s");
  CHECK(!format_duration(1e300).empty());
}

}  // namespace
}  // namespace protolith
