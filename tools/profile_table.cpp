#include "tools/profile_table.h"

#include <nlohmann/json.hpp>

#include "kernels/cpu/machine_peak.h"

namespace protolith {
namespace {

constexpr double kSmallShare = 0.001;

double share(std::int64_t part, std::int64_t all) {
  return all > 0 ? static_cast<double>(part) / static_cast<double>(all) : 0.0;
}

/// Of the peak; 0: not known.
struct Rates {
  double of_peak = 0, of_copy = 0;
};

Rates rates_of(const ProfileRow& row, const ProfilePeak& peak) {
  const double seconds = static_cast<double>(row.total) * 1e-9;
  if (seconds <= 0) return {};
  return {peak.flops > 0 ? row.cost.flops / seconds / peak.flops : 0,
          peak.bandwidth > 0 ? row.cost.bytes / seconds / peak.bandwidth : 0};
}

/// A number, or a dash where it is not known.
std::string known(const char* format, double value) {
  return value > 0 ? fmt::format(fmt::runtime(format), value) : "-";
}

std::string line(const std::string& name, const std::string& shape, const ProfileRow& row,
                 double share, const Rates& rates) {
  return fmt::format("{:<37} {:<18} {:>8} {:>10.2f} {:>10.2f} {:>6.1f}% {:>9} {:>9} {:>7} {:>7}\n",
                     name, shape, row.calls, static_cast<double>(row.total) * 1e-6,
                     static_cast<double>(row.self) * 1e-6, 100 * share,
                     known("{:.3f}", row.cost.flops * 1e-9), known("{:.1f}", row.cost.bytes * 1e-6),
                     known("{:.0f}%", 100 * rates.of_peak), known("{:.0f}%", 100 * rates.of_copy));
}

void add(ProfileRow& sum, const ProfileRow& row) {
  sum.calls += row.calls;
  sum.self += row.self;
  sum.cost = sum.cost + row.cost;
}

std::string table(const std::vector<ProfileRow>& rows, std::int64_t total,
                  const ProfilePeak& peak) {
  std::string text;
  ProfileRow small, all;
  int left_out = 0;
  for (const ProfileRow& row : rows) {
    add(all, row);
    if (share(row.self, total) < kSmallShare) {
      add(small, row);
      ++left_out;
      continue;
    }
    const std::string shape = row.shape.rank() > 0 ? to_string(row.shape) : "";
    text += line(std::string(row.name), shape, row, share(row.self, total), rates_of(row, peak));
  }
  small.total = small.self;
  if (left_out > 0) {
    text += line(fmt::format("{} more, each below 0.1 %", left_out), "", small,
                 share(small.self, total), {});
  }
  all.total = all.self;
  return text + line("all", "", all, share(all.self, total), rates_of(all, peak));
}

nlohmann::json json_of(const ProfileRow& row, std::int64_t total, const ProfilePeak& peak) {
  nlohmann::json object{{"name", row.name},
                        {"calls", row.calls},
                        {"total_ms", static_cast<double>(row.total) * 1e-6},
                        {"self_ms", static_cast<double>(row.self) * 1e-6},
                        {"share", share(row.self, total)}};
  if (row.shape.rank() > 0) object["shape"] = row.shape.extents();
  const Rates rates = rates_of(row, peak);
  const auto add_known = [&](const char* key, double value) {
    if (value > 0) object[key] = value;
  };
  add_known("gflop", row.cost.flops * 1e-9);
  add_known("mbytes", row.cost.bytes * 1e-6);
  add_known("share_of_peak", rates.of_peak);
  add_known("share_of_copy", rates.of_copy);
  return object;
}

std::int64_t device_total(const ProfileReport& report) {
  std::int64_t total = 0;
  for (const ProfileRow& row : report.device) total += row.self;
  return total;
}

/// The share of the time that ranges cost `ns` each take.
double cost_share(const ProfileReport& report, double ns) {
  return report.total > 0
             ? ns * static_cast<double>(report.ranges) / static_cast<double>(report.total)
             : 0;
}

}  // namespace

ProfilePeak measured_peak(const Backend& backend) {
  if (backend.device().type != DeviceType::cpu) return {};
  return {cpu::peak_flops(), cpu::copy_bandwidth()};
}

std::string profile_table(const ProfileReport& report, const ProfilePeak& peak) {
  const std::string head = fmt::format(
      "{:<37} {:<18} {:>8} {:>10} {:>10} {:>7} {:>9} {:>9} {:>7} {:>7}\n", "range", "input",
      "calls", "total ms", "own ms", "share", "GFLOP", "MB", "of peak", "of copy");
  std::string text = fmt::format("profile: {:.1f} ms in {} ranges",
                                 static_cast<double>(report.total) * 1e-6, report.ranges);
  if (peak.flops > 0) {
    text += fmt::format("; peak {:.0f} GFLOP/s of multiply-adds, {:.1f} GB/s of copying",
                        peak.flops * 1e-9, peak.bandwidth * 1e-9);
  }
  text += "\n" + head + table(report.rows, report.total, peak);
  if (!report.device.empty()) {
    const std::int64_t total = device_total(report);
    text += fmt::format("\ndevice: {:.1f} ms of work\n", static_cast<double>(total) * 1e-6) + head +
            table(report.device, total, {});
  }
  const RangeCost& cost = report.range_cost;
  return text + fmt::format(
                    "a range costs {:.0f} ns, all of them {:.4f} % of the time; without profiling "
                    "{:.2f} ns, {:.6f} %\n",
                    cost.recorded, 100 * cost_share(report, cost.recorded), cost.off,
                    100 * cost_share(report, cost.off));
}

nlohmann::json profile_json(const ProfileReport& report, const ProfilePeak& peak) {
  nlohmann::json operations = nlohmann::json::array(), device = nlohmann::json::array();
  for (const ProfileRow& row : report.rows) operations.push_back(json_of(row, report.total, peak));
  const std::int64_t total = device_total(report);
  for (const ProfileRow& row : report.device) device.push_back(json_of(row, total, {}));
  nlohmann::json result{{"total_ms", static_cast<double>(report.total) * 1e-6},
                        {"ranges", report.ranges},
                        {"lost", report.lost},
                        {"range_ns", report.range_cost.recorded},
                        {"range_off_ns", report.range_cost.off},
                        {"operations", std::move(operations)},
                        {"device", std::move(device)}};
  if (peak.flops > 0) {
    result.update({{"peak_gflops", peak.flops * 1e-9}, {"copy_gb_per_s", peak.bandwidth * 1e-9}});
  }
  return result;
}

}  // namespace protolith
