#include "tools/bench_cost.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "tools/command.h"
#include "tools/step_cost.h"

namespace protolith {
namespace {

StepShape shape_of(const Workload& workload) {
  return {.episode = workload.training,
          .encoder = {.height = workload.side,
                      .width = workload.side,
                      .channels = workload.channels,
                      .last_pool = workload.last_pool}};
}

std::string title(const Workload& workload) {
  const EpisodeShape& e = workload.training;
  return fmt::format("{}: {}-way {}-shot {}-query, {} images of {}x{}x{}{}", workload.name, e.way,
                     e.shot, e.query, e.way * (e.shot + e.query), workload.side, workload.side,
                     workload.channels, workload.last_pool ? "" : ", no last pool");
}

/// A step in either way, since a device without cuDNN's batch norm takes the fused one.
struct Steps {
  explicit Steps(const Workload& workload)
      : fused(training_step_cost(shape_of(workload), CudaBatchNorm::fused)),
        cudnn(training_step_cost(shape_of(workload), CudaBatchNorm::cudnn)) {}
  const std::vector<WorkCost>& of(CudaBatchNorm batch_norm) const {
    return batch_norm == CudaBatchNorm::fused ? fused : cudnn;
  }
  std::vector<WorkCost> fused, cudnn;
};

CudaBatchNorm taken_on(const DeviceRates& device, CudaBatchNorm asked) {
  return device.dnn_batch_norm ? asked : CudaBatchNorm::fused;
}

double megabytes(std::int64_t bytes) {
  return static_cast<double>(bytes) * 1e-6;
}

/// Rows of cells as text in columns, the first one to the left, or as a Markdown table.
class Table {
 public:
  explicit Table(std::vector<std::string> heads) { rows_.push_back(std::move(heads)); }
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

  std::string markdown() const {
    std::string out;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      for (const std::string& cell : rows_[i]) out += "| " + cell + " ";
      out += "|\n";
      if (i > 0) continue;
      for (std::size_t k = 0; k < rows_[0].size(); ++k) out += k == 0 ? "|---" : "|--:";
      out += "|\n";
    }
    return out;
  }
  std::string text() const {
    std::vector<std::size_t> widths(rows_[0].size());
    for (const auto& row : rows_) {
      for (std::size_t k = 0; k < row.size(); ++k) widths[k] = std::max(widths[k], row[k].size());
    }
    std::string out;
    for (const auto& row : rows_) {
      out += fmt::format("  {:<{}}", row[0], widths[0]);
      for (std::size_t k = 1; k < row.size(); ++k) {
        out += fmt::format("  {:>{}}", row[k], widths[k]);
      }
      out += "\n";
    }
    return out;
  }
  std::string as(CostFormat format) const {
    return format == CostFormat::markdown ? markdown() : text();
  }

 private:
  std::vector<std::vector<std::string>> rows_;
};

Table work_table(const std::vector<WorkCost>& step) {
  Table table({"work", "by", "launches", "MB read", "MB written", "MFLOP"});
  for (const WorkCost& work : step) {
    const cuda::Traffic& t = work.traffic;
    table.add({work.name, std::string(to_string(work.by)), fmt::format("{}", t.launches),
               fmt::format("{:.3f}", megabytes(t.read)),
               fmt::format("{:.3f}", megabytes(t.written)),
               fmt::format("{:.2f}", static_cast<double>(t.flops) * 1e-6)});
  }
  return table;
}

Table totals_table(const Steps& steps) {
  Table table({"batch norm", "kernels", "cuBLAS", "cuDNN", "copies", "in all", "MB read",
               "MB written", "GFLOP"});
  for (const CudaBatchNorm batch_norm : {CudaBatchNorm::cudnn, CudaBatchNorm::fused}) {
    const StepTotals t = totals_of(steps.of(batch_norm));
    table.add({to_string(batch_norm), fmt::format("{}", t.kernels), fmt::format("{}", t.products),
               fmt::format("{}", t.dnn_calls), fmt::format("{}", t.copies),
               fmt::format("{}", t.traffic.launches),
               fmt::format("{:.1f}", megabytes(t.traffic.read)),
               fmt::format("{:.1f}", megabytes(t.traffic.written)),
               fmt::format("{:.2f}", static_cast<double>(t.traffic.flops) * 1e-9)});
  }
  return table;
}

Table floor_table(const Steps& steps) {
  Table table({"device", "GB/s", "TFLOP/s", "TF32", "batch norm", "ms, fp32", "ms, tf32"});
  for (const DeviceRates& device : device_rates()) {
    for (const CudaBatchNorm batch_norm : {CudaBatchNorm::cudnn, CudaBatchNorm::fused}) {
      if (taken_on(device, batch_norm) != batch_norm) continue;
      const auto& step = steps.of(batch_norm);
      const bool tf32 = device.has_tf32();
      table.add({std::string(device.name), fmt::format("{:.0f}", device.bandwidth * 1e-9),
                 fmt::format("{:.1f}", device.fp32 * 1e-12),
                 tf32 ? fmt::format("{:.0f}", device.tf32 * 1e-12) : "none", to_string(batch_norm),
                 fmt::format("{:.3f}", 1e3 * floor_seconds(step, device, false)),
                 tf32 ? fmt::format("{:.3f}", 1e3 * floor_seconds(step, device, true)) : "none"});
    }
  }
  return table;
}

nlohmann::json totals_json(const StepTotals& t) {
  return {{"kernels", t.kernels},
          {"cublas_calls", t.products},
          {"cudnn_calls", t.dnn_calls},
          {"copies", t.copies},
          {"launches", t.traffic.launches},
          {"read_bytes", t.traffic.read},
          {"written_bytes", t.traffic.written},
          {"flops", t.traffic.flops}};
}

void print_as_json(const Workload& workload, CudaBatchNorm batch_norm, const Steps& steps) {
  nlohmann::json list = nlohmann::json::array(), floors = nlohmann::json::array();
  for (const WorkCost& work : steps.of(batch_norm)) {
    list.push_back({{"name", work.name},
                    {"by", to_string(work.by)},
                    {"launches", work.traffic.launches},
                    {"read_bytes", work.traffic.read},
                    {"written_bytes", work.traffic.written},
                    {"flops", work.traffic.flops}});
    if (!work.family.empty()) list.back()["family"] = work.family;
  }
  for (const DeviceRates& device : device_rates()) {
    const CudaBatchNorm taken = taken_on(device, batch_norm);
    const auto& step = steps.of(taken);
    nlohmann::json floor{{"device", device.name},
                         {"source", device.source},
                         {"gb_per_s", device.bandwidth * 1e-9},
                         {"fp32_tflops", device.fp32 * 1e-12},
                         {"batch_norm", to_string(taken)},
                         {"fp32_ms", 1e3 * floor_seconds(step, device, false)}};
    if (device.has_tf32()) {
      floor["tf32_tflops"] = device.tf32 * 1e-12;
      floor["tf32_ms"] = 1e3 * floor_seconds(step, device, true);
    }
    floors.push_back(std::move(floor));
  }
  print_json({{"what", "cost"},
              {"workload", workload.name},
              {"batch_norm", to_string(batch_norm)},
              {"work", list},
              {"totals", totals_json(totals_of(steps.of(batch_norm)))},
              {"floors", floors}});
}

}  // namespace

void print_step_cost(const Workload& workload, CudaBatchNorm batch_norm, CostFormat format) {
  const Steps steps(workload);
  if (format == CostFormat::json) return print_as_json(workload, batch_norm, steps);
  std::string out;
  if (format == CostFormat::markdown) {
    out = fmt::format("### {}\n\n{}\n{}\nWith `--batch-norm {}`, in order:\n\n{}", title(workload),
                      totals_table(steps).markdown(), floor_table(steps).markdown(),
                      to_string(batch_norm), work_table(steps.of(batch_norm)).markdown());
  } else {
    out = fmt::format(
        "{}\nOne training step on CUDA with batch norm {}, by formulas:\n\n{}\n"
        "In all:\n{}\nThe least time by data sheets, without any overhead of launches:\n{}",
        title(workload), to_string(batch_norm), work_table(steps.of(batch_norm)).text(),
        totals_table(steps).text(), floor_table(steps).text());
  }
  std::fputs(out.c_str(), stdout);
}

}  // namespace protolith
