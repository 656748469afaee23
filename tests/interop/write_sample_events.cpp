// Writes a run folder's metrics.jsonl, histograms.jsonl and events for tensorboard_events.py, with
// what a short training does not have: empty histograms, numbers outside, NaN counts.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/file.h"
#include "tools/run_events.h"

namespace {

using namespace protolith;

nlohmann::json to_json(const HistogramBins& bins) {
  return {{"edges", bins.edges},
          {"counts", bins.counts},
          {"below", bins.below},
          {"above", bins.above},
          {"nan", bins.nan}};
}

void write(const std::filesystem::path& folder) {
  RunEvents events(folder);
  events.start(0, nullptr);
  const HistogramBins gradient{{-11.5F, -7.25F, -3.0F, 0.1F}, {40, 2, 7}, 0, 0, 0};
  const HistogramBins outside{{0, 0.5F, 1.0F}, {3, 0}, 2, 1'000'000'007, 5};
  const HistogramBins empty{{0, 0.5F, 1.0F}, {0, 0}, 0, 0, 9};
  const auto add = [&](std::int64_t episode, const HistogramBins& gradients,
                       const HistogramBins& distances, double below, double inside,
                       double entropy) {
    const nlohmann::json line{{"episode", episode},
                              {"log_gradient", to_json(gradients)},
                              {"distance", to_json(distances)},
                              {"share_below_1e-5", below},
                              {"share_inside", inside},
                              {"entropy", entropy}};
    append_line(folder / "histograms.jsonl", line.dump());
    events.histograms(line);
  };
  add(0, gradient, outside, 0.1, 0.2, 1.75);
  add(8, gradient, empty, 0.0, 1.0, 1e-9);
  add(std::int64_t{1} << 33, empty, outside, 1.0, 0.0, 0.3);
  const nlohmann::json line{{"epoch", 1},
                            {"episodes", std::int64_t{1} << 33},
                            {"train_loss", 1.0 / 3},
                            {"train_accuracy", 1.0},
                            {"learning_rate", 1e-30},
                            {"val_loss", 1e30},
                            {"val_accuracy", 0.0}};
  append_line(folder / "metrics.jsonl", line.dump());
  events.epoch(line);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: write_sample_events FOLDER\n", stderr);
    return 2;
  }
  write(argv[1]);
  return 0;
}
