#include "tools/bench_kernels.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/kernel_bench.h"
#include "tools/command.h"
#include "tools/kernel_shapes.h"
#include "tools/session.h"

namespace protolith {
namespace {

/// A kernel at one shape.
struct Measured {
  const KernelEntry* entry;
  KernelSizes sizes;
  Traffic traffic;
  Timing timing;

  double bytes() const { return static_cast<double>(traffic.read + traffic.written); }
  double bandwidth() const { return bytes() / timing.median; }
  double gflop() const { return static_cast<double>(traffic.flops) * 1e-9; }
  double flops() const { return static_cast<double>(traffic.flops) / timing.median; }
  /// The least time that the peak allows; 0 where it is not known.
  double floor(const DevicePeak& peak) const {
    const double move = peak.bandwidth > 0 ? bytes() / peak.bandwidth : 0;
    const double compute = peak.flops > 0 ? static_cast<double>(traffic.flops) / peak.flops : 0;
    return std::max(move, compute);
  }
};

/// A family or kernel of exactly that name, or else the kernels that have it in theirs.
std::vector<const KernelEntry*> selected(const KernelBench& bench, const std::string& filter) {
  const auto those = [&](const auto& wanted) {
    std::vector<const KernelEntry*> found;
    for (const KernelEntry& entry : bench.entries()) {
      if (wanted(entry)) found.push_back(&entry);
    }
    return found;
  };
  auto found = those([&](const KernelEntry& e) { return e.family == filter; });
  if (found.empty()) found = those([&](const KernelEntry& e) { return e.name == filter; });
  if (found.empty()) {
    found = those([&](const KernelEntry& e) { return e.name.find(filter) != std::string::npos; });
  }
  PROTOLITH_CHECK_USAGE(!found.empty(),
                        "--filter {}: no kernel has that in its name; --list lists them", filter);
  return found;
}

void check_same_syntax(const std::vector<const KernelEntry*>& entries, const std::string& shape) {
  for (const KernelEntry* entry : entries) {
    PROTOLITH_CHECK_USAGE(syntax_of(entry->domain) == syntax_of(entries.front()->domain),
                          "--shape {}: {} takes {} and {} takes {}; choose one of them by --filter",
                          shape, entries.front()->name, syntax_of(entries.front()->domain),
                          entry->name, syntax_of(entry->domain));
  }
}

Measured measure(Backend& backend, KernelBench& bench, const KernelEntry& entry,
                 const KernelSizes& sizes, const KernelBenchRequest& request) {
  KernelData data(backend);
  const PreparedKernel kernel = entry.prepare(data, sizes);
  std::vector<double> seconds;
  for (int i = 0; i < request.warm + request.repeats; ++i) {
    if (request.cold) bench.flush_caches();
    const double taken = bench.seconds(kernel.launch);
    if (i >= request.warm) seconds.push_back(taken);
  }
  std::sort(seconds.begin(), seconds.end());
  return {&entry,
          sizes,
          kernel.traffic,
          {seconds[seconds.size() / 2], seconds.front(), seconds.back()}};
}

nlohmann::json as_json(const Measured& m, const DevicePeak& peak) {
  nlohmann::json kernel = to_json(m.timing, m.gflop());
  kernel.update({{"family", m.entry->family},
                 {"name", m.entry->name},
                 {"shape", m.sizes},
                 {"axes", syntax_of(m.entry->domain)},
                 {"read_bytes", m.traffic.read},
                 {"written_bytes", m.traffic.written},
                 {"flops", m.traffic.flops},
                 {"launches", m.traffic.launches},
                 {"floor_ms", 1e3 * m.floor(peak)},
                 {"gb_per_s", m.bandwidth() * 1e-9}});
  if (peak.bandwidth > 0) kernel["share_of_bandwidth"] = m.bandwidth() / peak.bandwidth;
  if (peak.flops > 0) kernel["share_of_peak"] = m.flops() / peak.flops;
  return kernel;
}

std::string share(double rate, double peak) {
  return peak > 0 ? fmt::format("{:.0f}%", 100 * rate / peak) : "-";
}

std::string row(const Measured& m, const DevicePeak& peak) {
  return fmt::format("{:<28}{:<37}{:<20}{:>11.1f}{:>11.1f}{:>10.1f}{:>8.1f}{:>6}{:>9.1f}{:>6}\n",
                     m.entry->family, m.entry->name, to_string(m.sizes), 1e6 * m.timing.median,
                     1e6 * m.timing.min, 1e6 * m.floor(peak), m.bandwidth() * 1e-9,
                     share(m.bandwidth(), peak.bandwidth), m.flops() * 1e-9,
                     share(m.flops(), peak.flops));
}

void print_list(const std::vector<const KernelEntry*>& entries, bool json) {
  if (json) {
    nlohmann::json kernels = nlohmann::json::array();
    for (const KernelEntry* entry : entries) {
      kernels.push_back(
          {{"family", entry->family}, {"name", entry->name}, {"axes", syntax_of(entry->domain)}});
    }
    print_json({{"what", "kernels"}, {"kernels", kernels}});
    return;
  }
  std::string text = fmt::format("{:<28}{:<37}{}\n", "family", "kernel", "shape");
  for (const KernelEntry* entry : entries) {
    text += fmt::format("{:<28}{:<37}{}\n", entry->family, entry->name, syntax_of(entry->domain));
  }
  std::fputs(text.c_str(), stdout);
}

void print(const std::vector<Measured>& all, const DevicePeak& peak, const Backend& backend,
           const Workload& workload, const KernelBenchRequest& request) {
  const char* const caches = request.cold ? "cold" : "warm";
  if (request.json) {
    nlohmann::json kernels = nlohmann::json::array();
    Timing sum;
    double gflop = 0;
    for (const Measured& m : all) {
      kernels.push_back(as_json(m, peak));
      sum += m.timing;
      gflop += m.gflop();
    }
    nlohmann::json result = to_json(sum, gflop);
    result.update({{"what", "kernels"},
                   {"workload", workload.name},
                   {"device", backend.description()},
                   {"caches", caches},
                   {"repeats", request.repeats},
                   {"peak_memory_mb", peak_memory_mb()},
                   {"peak_gflops", peak.flops * 1e-9},
                   {"peak_gb_per_s", peak.bandwidth * 1e-9},
                   {"peak_source", peak.source},
                   {"kernels", kernels}});
    print_json(result);
    return;
  }
  std::string text = fmt::format(
      "kernels {} on {}\n  peak {:.0f} GFLOP/s, {:.1f} GB/s ({}); caches {}\n"
      "{:<28}{:<37}{:<20}{:>11}{:>11}{:>10}{:>8}{:>6}{:>9}{:>6}\n",
      request.shape.empty() ? fmt::format("{} ({})", workload.name, workload.description)
                            : "at " + request.shape,
      backend.description(), peak.flops * 1e-9, peak.bandwidth * 1e-9, peak.source, caches,
      "family", "kernel", "shape", "median us", "min us", "floor us", "GB/s", "peak", "GFLOP/s",
      "peak");
  for (const Measured& m : all) text += row(m, peak);
  std::fputs(text.c_str(), stdout);
}

}  // namespace

void bench_kernels(Backend& backend, const Workload& workload, const KernelBenchRequest& request) {
  const std::unique_ptr<KernelBench> bench = backend.kernel_bench();
  const std::vector<const KernelEntry*> entries = selected(*bench, request.filter);
  if (request.list) return print_list(entries, request.json);
  if (!request.shape.empty()) check_same_syntax(entries, request.shape);
  std::vector<std::pair<const KernelEntry*, KernelSizes>> runs;
  for (const KernelEntry* entry : entries) {
    if (!request.shape.empty()) {
      runs.emplace_back(entry, parse_shape(request.shape, *entry));
      continue;
    }
    for (KernelSizes& sizes : model_shapes(entry->domain, workload)) {
      runs.emplace_back(entry, std::move(sizes));
    }
  }
  std::vector<Measured> all;
  for (const auto& run : runs) {
    all.push_back(measure(backend, *bench, *run.first, run.second, request));
  }
  print(all, bench->peak(), backend, workload, request);
}

}  // namespace protolith
