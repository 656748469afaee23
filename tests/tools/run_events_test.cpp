#include "tools/run_events.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "engine/check.h"
#include "tests/tools/event_reader.h"

namespace protolith::testing {
namespace {

using Points = std::vector<std::pair<std::int64_t, float>>;

nlohmann::json line(std::int64_t episodes, double loss) {
  return {{"epoch", episodes / 5},  {"episodes", episodes},     {"train_loss", loss},
          {"train_accuracy", 0.5},  {"learning_rate", 1e-3},    {"seconds", 1.5},
          {"val_loss", loss + 0.5}, {"val_accuracy", loss / 2}, {"best", true}};
}

}  // namespace

TEST_CASE("a line of metrics becomes five scalars at its episodes") {
  const TemporaryFolder folder;
  RunEvents events(folder.path());
  events.start(0, nullptr);
  events.epoch(line(5, 1.25));
  nlohmann::json without_validation = line(10, 0.75);
  without_validation.erase("val_loss");
  without_validation.erase("val_accuracy");
  events.epoch(without_validation);
  const auto shown = shown_scalars(folder.path());
  CHECK(shown.size() == 5);
  CHECK(shown.at("train/loss") == Points{{5, 1.25F}, {10, 0.75F}});
  CHECK(shown.at("train/accuracy") == Points{{5, 0.5F}, {10, 0.5F}});
  CHECK(shown.at("train/learning_rate") == Points{{5, 1e-3F}, {10, 1e-3F}});
  CHECK(shown.at("val/loss") == Points{{5, 1.75F}});
  CHECK(shown.at("val/accuracy") == Points{{5, 0.625F}});
}

TEST_CASE("a run that goes on shows each step once") {
  const TemporaryFolder folder;
  {
    RunEvents events(folder.path());
    events.start(0, nullptr);
    for (const std::int64_t episodes : {5, 10, 15}) events.epoch(line(episodes, 1));
  }
  RunEvents events(folder.path());
  SUBCASE("from the end of an epoch, whose line is given again") {
    events.start(10, line(10, 2));
    events.epoch(line(15, 2));
    CHECK(shown_scalars(folder.path()).at("train/loss") == Points{{5, 1}, {10, 2}, {15, 2}});
  }
  SUBCASE("from the middle of an epoch") {
    events.start(12, line(10, 2));
    events.epoch(line(15, 2));
    CHECK(shown_scalars(folder.path()).at("train/loss") == Points{{5, 1}, {10, 1}, {15, 2}});
  }
  SUBCASE("from the start") {
    events.start(0, nullptr);
    CHECK(shown_scalars(folder.path()).at("train/loss").empty());
  }
  CHECK(event_files(folder.path()).size() == 2);
}

TEST_CASE("histograms come with their scalars") {
  const TemporaryFolder folder;
  RunEvents events(folder.path());
  events.start(0, nullptr);
  const nlohmann::json bins{
      {"edges", {0, 1}}, {"counts", {2}}, {"below", 0}, {"above", 0}, {"nan", 0}};
  events.histograms({{"episode", 8},
                     {"log_gradient", bins},
                     {"distance", bins},
                     {"share_below_1e-5", 0.25},
                     {"share_inside", 0.5},
                     {"entropy", 1.5}});
  const auto shown = shown_scalars(folder.path());
  CHECK(shown.at("gradient/share_below_1e-5") == Points{{8, 0.25F}});
  CHECK(shown.at("gradient/share_inside") == Points{{8, 0.5F}});
  CHECK(shown.at("softmax/entropy") == Points{{8, 1.5F}});
  std::vector<std::string> histograms;
  for (const std::string& record : read_records(slurp(event_files(folder.path()).at(0)))) {
    for (const auto& part : read_fields(record)) {
      if (part.first != 5) continue;
      const Fields value = read_fields(field(read_fields(part.second), 1));
      if (value.back().first == 5) histograms.push_back(field(value, 1));
    }
  }
  CHECK(histograms == std::vector<std::string>{"gradient/log_abs", "distance/softmax"});
}

TEST_CASE("events before the start are a mistake") {
  const TemporaryFolder folder;
  CHECK_THROWS_AS(RunEvents(folder.path()).epoch(line(5, 1)), Error);
}

}  // namespace protolith::testing
