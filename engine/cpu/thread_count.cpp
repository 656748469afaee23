#include "engine/cpu/thread_count.h"

#include <omp.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>

#include "engine/check.h"

namespace protolith {
namespace {

namespace fs = std::filesystem;

constexpr double kUnlimited = std::numeric_limits<double>::infinity();

/// The number at the start of a file; 0 where there is none ("max", say) or no such file.
double number_in(std::istream& text) {
  double number = 0;
  return text >> number ? number : 0.0;
}

/// Quota / period of one control group.
double quota_of(const fs::path& group) {
  double quota = 0, period = 0;
  if (std::ifstream file(group / "cpu.max"); file) {
    quota = number_in(file);
    period = number_in(file);
  } else {
    std::ifstream quota_file(group / "cpu.cfs_quota_us"), period_file(group / "cpu.cfs_period_us");
    quota = number_in(quota_file);  // -1: unlimited
    period = number_in(period_file);
  }
  return quota > 0 && period > 0 ? quota / period : kUnlimited;
}

/// The least quota from `group`, a path within the hierarchy at `mount`, up to its root.
double least_quota(const fs::path& mount, fs::path group) {
  double least = kUnlimited;
  for (;; group = group.parent_path()) {
    least = std::min(least, quota_of(mount / group.relative_path()));
    if (!group.has_relative_path()) return least;
  }
}

/// Whether a comma-separated list has `word`.
bool lists(std::string_view list, std::string_view word) {
  return ("," + std::string(list) + ",").find("," + std::string(word) + ",") != std::string::npos;
}

/// The first number of OMP_NUM_THREADS, which libgomp takes for the outermost level.
int asked_for() {
  const char* text = std::getenv("OMP_NUM_THREADS");
  if (text == nullptr) return std::numeric_limits<int>::max();
  int number = 0;
  const std::string_view value(text);
  std::from_chars(value.data(), value.data() + value.size(), number);
  return number > 0 ? number : std::numeric_limits<int>::max();
}

}  // namespace

double processor_quota(const fs::path& root) {
  // Lines "0::/path" (version 2) and "5:cpu,cpuacct:/path" (version 1). Where the path is that of
  // another namespace, its folders are missing and the root of the hierarchy counts.
  double least = kUnlimited;
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const fs::path mount = root / "sys/fs/cgroup";
    const fs::path group = line.substr(second + 1);
    if (controllers.empty()) least = std::min(least, least_quota(mount, group));
    if (lists(controllers, "cpu")) least = std::min(least, least_quota(mount / "cpu", group));
  }
  return least;
}

int available_threads(const fs::path& root) {
  const int most = std::min(omp_get_num_procs(), asked_for());
  const double quota = std::ceil(processor_quota(root));
  return std::max(1, quota < most ? static_cast<int>(quota) : most);
}

int use_threads(int threads) {
  PROTOLITH_CHECK_USAGE(threads >= 0 && threads <= 1024,
                        "{} threads: use 1 to 1024, or 0 for as many as there are cores", threads);
  const int used = threads > 0 ? threads : available_threads();
  omp_set_num_threads(used);
  return used;
}

}  // namespace protolith
