// `protolith bench`: times whole training steps and evaluation episodes of fixed workloads.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/random.h"
#include "tools/command.h"
#include "tools/learner.h"
#include "tools/session.h"

namespace protolith {
namespace {

using Clock = std::chrono::steady_clock;

struct Workload {
  const char* name;
  const char* description;
  std::int64_t side, channels;
  EpisodeShape training, evaluation;
  bool last_pool;
};

constexpr Workload kWorkloads[] = {
    {"O", "Omniglot, 60-way 1-shot 5-query", 28, 1, {60, 1, 5}, {20, 1, 5}, true},
    {"Op", "the same without the last pool", 28, 1, {60, 1, 5}, {20, 1, 5}, false},
    {"M", "miniImageNet, 30-way 1-shot 15-query", 84, 3, {30, 1, 15}, {5, 1, 15}, true},
};

struct BenchFlags {
  ConfigFlags config;
  OutputFlags output;
  std::string what = "step", workload = "Op";
  int repeats = 20, warm = 3;
};

/// Random images of the workload's size: 64 classes of 20, in every split.
Dataset random_images(const Workload& workload) {
  constexpr std::int32_t kClasses = 64;
  constexpr std::int32_t kImages = 20;
  Dataset dataset;
  dataset.kind = "random";
  dataset.preprocessing = "none";
  dataset.images = Tensor::host(
      {kClasses * kImages, workload.side, workload.side, workload.channels}, DType::u8);
  Random random(0, Purpose::test);
  for (std::uint8_t& pixel : dataset.images.host_span<std::uint8_t>()) {
    pixel = static_cast<std::uint8_t>(random.bits() >> 24);
  }
  dataset.scale.assign(static_cast<std::size_t>(workload.channels), 1.0F / 255.0F);
  dataset.shift.assign(static_cast<std::size_t>(workload.channels), 0.0F);
  for (std::int32_t c = 0; c < kClasses; ++c) {
    dataset.splits[0].push_back({fmt::format("class {}", c), c * kImages, kImages, 0});
  }
  return dataset;
}

/// Multiply-adds of the direct convolutions, times two: forward, and where `training` the weight
/// gradients of all blocks and the data gradients of all but the first.
double convolution_gflop(const Workload& workload, const EpisodeShape& shape, bool training) {
  constexpr double kFilters = 64;
  const auto images = static_cast<double>(shape.way) * (shape.shot + shape.query);
  double total = 0;
  double side = static_cast<double>(workload.side);
  double channels = static_cast<double>(workload.channels);
  for (int block = 0; block < Conv4::kBlocks; ++block) {
    const double pass = 2 * images * side * side * 9 * channels * kFilters;
    const int passes = !training ? 1 : block == 0 ? 2 : 3;
    total += pass * passes;
    side = static_cast<double>(static_cast<std::int64_t>(side) / 2);
    channels = kFilters;
  }
  return total * 1e-9;
}

/// Seconds of each of `repeats` calls after `warm` untimed ones.
template <class F>
std::vector<double> time_calls(int warm, int repeats, F&& call) {
  std::vector<double> seconds;
  for (int i = 0; i < warm + repeats; ++i) {
    const auto start = Clock::now();
    call(static_cast<std::uint64_t>(i));
    if (i >= warm) {
      seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    }
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds;
}

std::vector<double> time_steps(Backend& backend, const Config& config, const Dataset& dataset,
                               const Workload& workload, const BenchFlags& flags) {
  Learner learner(backend, config, dataset);
  const EpisodeSampler sampler(dataset.classes(Split::train), workload.training, config.seed,
                               Split::train);
  return time_calls(flags.warm, flags.repeats,
                    [&](std::uint64_t i) { learner.step(sampler.sample(i), workload.training); });
}

/// One episode as a whole, as a user's query would be: embed all images, then classify.
std::vector<double> time_evaluation(Backend& backend, const Config& config, const Dataset& dataset,
                                    const Workload& workload, const BenchFlags& flags) {
  Learner learner(backend, config, dataset);
  const EpisodeSampler sampler(dataset.classes(Split::train), workload.evaluation, config.seed,
                               Split::train);
  return time_calls(flags.warm, flags.repeats, [&](std::uint64_t i) {
    const Episode episode = sampler.sample(i);
    const Variable embeddings(
        learner.model().embed(gather(backend, learner.images(), episode.images, episode.turns)));
    const auto result =
        prototypical_loss(backend, embeddings, upload(backend, episode.labels),
                          layout_of(workload.evaluation), config.metric, config.distance);
    backend.to_host(result.hit);
    backend.end_step();
  });
}

int bench(const BenchFlags& flags) {
  const auto* workload = std::find_if(std::begin(kWorkloads), std::end(kWorkloads),
                                      [&](const Workload& w) { return w.name == flags.workload; });
  Config config = flags.config.over(Config{});
  config.last_pool = workload->last_pool;
  const std::unique_ptr<Backend> backend = open_backend(config);
  const Dataset dataset = random_images(*workload);
  const bool training = flags.what == "step";
  const std::vector<double> seconds =
      training ? time_steps(*backend, config, dataset, *workload, flags)
               : time_evaluation(*backend, config, dataset, *workload, flags);
  const double median = seconds[seconds.size() / 2];
  const double gflop =
      convolution_gflop(*workload, training ? workload->training : workload->evaluation, training);
  const double peak_mb = peak_memory_mb();
  if (flags.output.json) {
    print_json({{"what", flags.what},
                {"workload", workload->name},
                {"device", backend->description()},
                {"repeats", flags.repeats},
                {"median_ms", 1e3 * median},
                {"min_ms", 1e3 * seconds.front()},
                {"max_ms", 1e3 * seconds.back()},
                {"peak_memory_mb", peak_mb},
                {"step_memory_mb", static_cast<double>(backend->step_memory_bytes()) / (1 << 20)},
                {"gflops", gflop / median}});
    return kExitDone;
  }
  std::fputs(fmt::format("{} {} ({}) on {}\n  median {:.2f} ms, min {:.2f}, max {:.2f} over {}\n"
                         "  {:.1f} GFLOP/s of direct convolution, peak memory {:.0f} MB\n",
                         flags.what, workload->name, workload->description, backend->description(),
                         1e3 * median, 1e3 * seconds.front(), 1e3 * seconds.back(), flags.repeats,
                         gflop / median, peak_mb)
                 .c_str(),
             stdout);
  return kExitDone;
}

}  // namespace

void add_bench_command(CommandLine& program) {
  const auto flags = std::make_shared<BenchFlags>();
  std::string workloads = "Workloads:\n";
  std::vector<std::string> names;
  for (const Workload& workload : kWorkloads) {
    workloads += fmt::format("  {:<4}{}\n", workload.name, workload.description);
    names.emplace_back(workload.name);
  }
  CLI::App& command = program.add_command(
      "bench", "Time training steps and evaluation episodes of fixed workloads",
      "  protolith bench step --workload Op\n"
      "  protolith bench eval --workload O --repeats 100 --json\n"
      "\n" +
          workloads +
          "The images are random numbers: time does not depend on them. Compare two programs only\n"
          "in one interleaved run (tools/peers/compare.py).",
      [flags] { return bench(*flags); });
  command.add_option("what", flags->what, "step (forward, backward, Adam) or eval (one episode)")
      ->check(CLI::IsMember({"step", "eval"}))
      ->required();
  command.add_option("--workload", flags->workload, "see below")
      ->check(CLI::IsMember(names))
      ->capture_default_str();
  command.add_option("--repeats", flags->repeats, "timed calls")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  command.add_option("--warm", flags->warm, "untimed calls before them")
      ->check(CLI::Range(0, 1000000))
      ->capture_default_str();
  flags->config = ConfigFlags(command, {OptionGroup::device});
  flags->output.add_to(command);
}

}  // namespace protolith
