// `protolith bench`: times training steps, evaluation episodes, operations and kernels of fixed
// workloads, and tells what a training step costs on CUDA.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "kernels/cpu/machine_peak.h"
#include "tools/arguments.h"
#include "tools/bench_cost.h"
#include "tools/bench_kernels.h"
#include "tools/bench_ops.h"
#include "tools/command.h"
#include "tools/kernel_shapes.h"
#include "tools/learner.h"
#include "tools/session.h"

namespace protolith {
namespace {

struct BenchFlags {
  ConfigFlags config;
  OutputFlags output;
  std::string what = "step", workload = "Op", filter, batch_norm, shape, caches = "cold";
  bool markdown = false, list = false;
  int repeats = 20, warm = 3, way = 0;
};

std::int64_t images_of(const EpisodeShape& shape) {
  return std::int64_t{shape.way} * (shape.shot + shape.query);
}

/// Multiply-adds of the direct convolutions, times two: forward, and where `training` the weight
/// gradients of all blocks and the data gradients of all but the first.
double convolution_gflop(const Workload& workload, const EpisodeShape& shape, bool training) {
  const auto images = static_cast<double>(images_of(shape));
  double total = 0;
  for (const BlockShape& block : blocks_of(workload)) {
    const auto products =
        static_cast<double>(block.side * block.side * 9 * block.channels * block.filters);
    const bool first = block.channels == workload.channels;
    total += 2 * images * products * (!training ? 1 : first ? 2 : 3);
  }
  return total * 1e-9;
}

Timing time_steps(Backend& backend, const Config& config, const Dataset& dataset,
                  const Workload& workload, const BenchFlags& flags) {
  Learner learner(backend, config, dataset);
  const EpisodeSampler sampler(dataset.classes(Split::train), workload.training, config.seed,
                               Split::train);
  return time_calls(flags.warm, flags.repeats,
                    [&](std::uint64_t i) { learner.step(sampler.sample(i), workload.training); });
}

/// One episode as a whole, as a user's query would be: embed all images, then classify.
Timing time_evaluation(Backend& backend, const Config& config, const Dataset& dataset,
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

/// What this machine's cores can do at most, measured; not known of another device.
struct HostPeak {
  bool known = false;
  double flops = 0, bandwidth = 0;
};

HostPeak host_peak(const Backend& backend) {
  if (backend.device().type != DeviceType::cpu) return {};
  return {true, cpu::peak_flops(), cpu::copy_bandwidth()};
}

int bench_ops(Backend& backend, const Workload& workload, const BenchFlags& flags) {
  const std::vector<OpTiming> timings =
      time_ops(backend, workload, flags.filter, flags.warm, flags.repeats);
  PROTOLITH_CHECK_USAGE(!timings.empty(), "--filter {}: no operation has that in its name",
                        flags.filter);
  const HostPeak host = host_peak(backend);
  nlohmann::json ops = nlohmann::json::array();
  Timing sum;
  double gflop = 0;
  std::string text = fmt::format(
      "ops {} ({}) on {}\n{}{:<32}{:<20}{:>10}{:>9}{:>9}{:>9}{:>8}{:>8}\n", workload.name,
      workload.description, backend.description(),
      host.known ? fmt::format("  peak {:.0f} GFLOP/s of multiply-adds, {:.1f} GB/s of copying\n",
                               host.flops * 1e-9, host.bandwidth * 1e-9)
                 : "  (each with about 10 us of waiting for the device)\n",
      "operation", "input", "median ms", "min", "GFLOP/s", "of peak", "GB/s", "of copy");
  for (const OpTiming& op : timings) {
    const double flops = op.gflop * 1e9 / op.timing.median;
    const double moved = op.mbytes * 1e6 / op.timing.median;
    sum += op.timing;
    gflop += op.gflop;
    ops.push_back(to_json(op.timing, op.gflop));
    ops.back().update(
        {{"name", op.name}, {"shape", op.shape.extents()}, {"gb_per_s", moved * 1e-9}});
    if (host.known) {
      ops.back().update(
          {{"share_of_peak", flops / host.flops}, {"share_of_copy", moved / host.bandwidth}});
    }
    const auto share = [&](double rate, double peak) {
      return host.known ? fmt::format("{:.0f}%", 100 * rate / peak) : "-";
    };
    text +=
        fmt::format("{:<32}{:<20}{:>10.3f}{:>9.3f}{:>9.1f}{:>9}{:>8.1f}{:>8}\n", op.name,
                    to_string(op.shape), 1e3 * op.timing.median, 1e3 * op.timing.min, flops * 1e-9,
                    share(flops, host.flops), moved * 1e-9, share(moved, host.bandwidth));
  }
  if (flags.output.json) {
    nlohmann::json result = to_json(sum, gflop);
    result.update({{"what", "ops"},
                   {"workload", workload.name},
                   {"device", backend.description()},
                   {"peak_memory_mb", peak_memory_mb()},
                   {"ops", ops}});
    if (host.known) {
      result.update({{"peak_gflops", host.flops * 1e-9}, {"copy_gb_per_s", host.bandwidth * 1e-9}});
    }
    print_json(result);
  } else {
    std::fputs(text.c_str(), stdout);
  }
  return kExitDone;
}

int bench_cost(const Workload& workload, const BenchFlags& flags) {
  PROTOLITH_CHECK_USAGE(!(flags.markdown && flags.output.json), "--markdown or --json, not both");
  print_step_cost(workload,
                  flags.batch_norm == "fused" ? CudaBatchNorm::fused : CudaBatchNorm::cudnn,
                  flags.output.json ? CostFormat::json
                  : flags.markdown  ? CostFormat::markdown
                                    : CostFormat::text);
  return kExitDone;
}

void check_usage(const BenchFlags& flags) {
  const bool cost = flags.what == "cost", kernels = flags.what == "kernels";
  PROTOLITH_CHECK_USAGE(!flags.markdown || cost, "--markdown: only for bench cost");
  PROTOLITH_CHECK_USAGE(flags.shape.empty() || kernels, "--shape {}: only for bench kernels",
                        flags.shape);
  PROTOLITH_CHECK_USAGE(!flags.list || kernels, "--list: only for bench kernels");
  PROTOLITH_CHECK_USAGE(flags.caches == "cold" || kernels, "--caches {}: only for bench kernels",
                        flags.caches);
  PROTOLITH_CHECK_USAGE(!(flags.list && !flags.shape.empty()),
                        "--list runs nothing: leave --shape {} out", flags.shape);
}

int bench(const BenchFlags& flags) {
  const auto all = workloads();
  Workload workload = *std::find_if(all.begin(), all.end(),
                                    [&](const Workload& w) { return w.name == flags.workload; });
  if (flags.way > 0) workload.training.way = workload.evaluation.way = flags.way;
  check_usage(flags);
  if (!flags.filter.empty() && flags.what != "ops" && flags.what != "kernels") {
    warn(fmt::format("--filter {} has no effect on bench {}, which has nothing to choose from",
                     flags.filter, flags.what));
  }
  if (flags.what == "cost") return bench_cost(workload, flags);
  const Config defaults;  // a temporary makes g++ 12 warn of an uninitialised string
  Config config = flags.config.over(defaults);
  config.last_pool = workload.last_pool;
  if (!flags.batch_norm.empty()) config.batch_norm = flags.batch_norm;
  const std::unique_ptr<Backend> backend = open_backend(config, flags.output.quiet);
  if (flags.what == "ops") return bench_ops(*backend, workload, flags);
  if (flags.what == "kernels") {
    bench_kernels(*backend, workload,
                  {.filter = flags.filter,
                   .shape = flags.shape,
                   .cold = flags.caches == "cold",
                   .list = flags.list,
                   .json = flags.output.json,
                   .warm = flags.warm,
                   .repeats = flags.repeats});
    return kExitDone;
  }
  const Dataset dataset = random_images(workload);
  const bool training = flags.what == "step";
  const Timing timing = training ? time_steps(*backend, config, dataset, workload, flags)
                                 : time_evaluation(*backend, config, dataset, workload, flags);
  const EpisodeShape& shape = training ? workload.training : workload.evaluation;
  const double gflop = convolution_gflop(workload, shape, training);
  const double peak_mb = peak_memory_mb();
  const double step_mb = static_cast<double>(backend->step_memory_bytes()) / (1 << 20);
  const HostPeak host = host_peak(*backend);
  if (flags.output.json) {
    nlohmann::json result = to_json(timing, gflop);
    result.update({{"what", flags.what},
                   {"workload", workload.name},
                   {"images", images_of(shape)},
                   {"device", backend->description()},
                   {"repeats", flags.repeats},
                   {"peak_memory_mb", peak_mb},
                   {"step_memory_mb", step_mb}});
    if (host.known) {
      result.update({{"peak_gflops", host.flops * 1e-9},
                     {"share_of_peak", gflop * 1e9 / timing.median / host.flops}});
    }
    print_json(result);
    return kExitDone;
  }
  const std::string of_peak =
      host.known
          ? fmt::format(", {:.2f} of the time that its multiply-adds take at the peak of {:.0f}",
                        timing.median * host.flops / (gflop * 1e9), host.flops * 1e-9)
          : "";
  std::fputs(fmt::format("{} {} ({}) on {}\n  median {:.2f} ms, min {:.2f}, max {:.2f} over {}\n"
                         "  {:.1f} GFLOP/s of direct convolution{}\n"
                         "  peak memory {:.0f} MB, step memory {:.0f} MB\n",
                         flags.what, workload.name, workload.description, backend->description(),
                         1e3 * timing.median, 1e3 * timing.min, 1e3 * timing.max, flags.repeats,
                         gflop / timing.median, of_peak, peak_mb, step_mb)
                 .c_str(),
             stdout);
  return kExitDone;
}

}  // namespace

void add_bench_command(CommandLine& program) {
  const auto flags = std::make_shared<BenchFlags>();
  std::string list = "Workloads:\n";
  std::vector<std::string> names;
  for (const Workload& workload : workloads()) {
    list += fmt::format("  {:<4}{}\n", workload.name, workload.description);
    names.emplace_back(workload.name);
  }
  CLI::App& command = program.add_command(
      "bench",
      "Time training steps, evaluation episodes, operations and kernels of fixed workloads",
      "  protolith bench                           # a training step on the best device\n"
      "  protolith bench step --workload M --device cpu\n"
      "  protolith bench eval --workload O --repeats 100 --json\n"
      "  protolith bench ops --workload M --filter convolution\n"
      "  protolith bench kernels --workload Op --filter relu\n"
      "  protolith bench kernels --filter max_pool_forward --shape 360x28x28x64\n"
      "  protolith bench cost --workload Op --batch-norm fused\n"
      "\n" +
          list +
          "The images are random numbers: time does not depend on them. Compare two programs only\n"
          "in one interleaved run (tools/peers/compare.py).\n\n" +
          shape_help(),
      [flags] { return bench(*flags); });
  command
      .add_option(
          "what", flags->what,
          "step (forward, backward, Adam), eval (one episode), ops (each operation of a step), "
          "kernels (each of the device's own kernels alone, beside its peak), or cost: what a step "
          "submits, moves and computes on CUDA, by formulas, without a GPU")
      ->check(CLI::IsMember({"step", "eval", "ops", "kernels", "cost"}))
      ->capture_default_str();
  command.add_option("--workload", flags->workload, "see below")
      ->check(CLI::IsMember(names))
      ->capture_default_str();
  command.add_option("--way", flags->way, "classes of an episode, instead of the workload's")
      ->transform(decimal())
      ->check(CLI::Range(2, 10000));
  command
      .add_option("--filter", flags->filter,
                  "ops: only those whose name contains this; kernels: a family, a kernel, or those "
                  "whose name contains this")
      ->type_name("TEXT");
  command
      .add_option("--shape", flags->shape,
                  "kernels: these sizes instead of the workload's, see below")
      ->type_name("NxN...");
  command
      .add_option("--caches", flags->caches,
                  "kernels: cold (other data is put into them before each launch) or warm")
      ->check(CLI::IsMember({"cold", "warm"}))
      ->capture_default_str();
  command.add_flag("--list", flags->list, "kernels: list them with their shapes, run none");
  command.add_option("--batch-norm", flags->batch_norm, "on CUDA: cudnn (the default) or fused")
      ->check(CLI::IsMember({"cudnn", "fused"}));
  command.add_flag("--markdown", flags->markdown, "cost: as in docs/performance.md");
  command.add_option("--repeats", flags->repeats, "timed calls")
      ->transform(decimal())
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  command.add_option("--warm", flags->warm, "untimed calls before them")
      ->transform(decimal())
      ->check(CLI::Range(0, 1000000))
      ->capture_default_str();
  flags->config = ConfigFlags(command, {OptionGroup::device});
  flags->output.add_to(command);
}

}  // namespace protolith
