#include "engine/cpu/thread_count.h"

#include <doctest/doctest.h>
#include <omp.h>

#include <cmath>

#include "engine/check.h"
#include "tests/engine/environment.h"
#include "tests/engine/temporary_folder.h"

namespace protolith {
namespace {

using testing::Environment;
using testing::spill;
using testing::TemporaryFolder;

/// A machine whose control groups a test makes.
struct Machine {
  TemporaryFolder root;

  void file(const std::string& name, const std::string& text) const {
    const auto path = root / name;
    std::filesystem::create_directories(path.parent_path());
    spill(path, text);
  }
  double quota() const { return processor_quota(root.path()); }
};

TEST_CASE("the CPU quota of a container is that of cpu.max") {
  const Machine machine;
  CHECK(std::isinf(machine.quota()));  // no control groups at all
  machine.file("proc/self/cgroup", "0::/\n");
  CHECK(std::isinf(machine.quota()));
  machine.file("sys/fs/cgroup/cpu.max", "max 100000\n");
  CHECK(std::isinf(machine.quota()));
  machine.file("sys/fs/cgroup/cpu.max", "250000 100000\n");
  CHECK(machine.quota() == 2.5);
}

TEST_CASE("of nested control groups the tightest counts; one that is not there does not") {
  const Machine machine;
  machine.file("proc/self/cgroup", "0::/user/job/step\n");
  machine.file("sys/fs/cgroup/user/cpu.max", "400000 100000\n");
  machine.file("sys/fs/cgroup/user/job/cpu.max", "300000 100000\n");
  machine.file("sys/fs/cgroup/user/job/step/cpu.max", "max 100000\n");
  CHECK(machine.quota() == 3);
  machine.file("proc/self/cgroup", "0::/elsewhere\n");
  CHECK(std::isinf(machine.quota()));
}

TEST_CASE("version 1 of control groups has the quota in files of its own") {
  const Machine machine;
  machine.file("proc/self/cgroup",
               "9:cpuset:/\n3:cpu,cpuacct:/docker/a\n1:name=systemd:/x\n0::/\n");
  machine.file("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  machine.file("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  CHECK(std::isinf(machine.quota()));
  machine.file("sys/fs/cgroup/cpu/docker/a/cpu.cfs_quota_us", "50000\n");
  machine.file("sys/fs/cgroup/cpu/docker/a/cpu.cfs_period_us", "100000\n");
  CHECK(machine.quota() == 0.5);
}

TEST_CASE("threads: processors, at most OMP_NUM_THREADS, at most the quota rounded up") {
  const Machine machine;
  const Environment unset("OMP_NUM_THREADS", nullptr);
  const int processors = omp_get_num_procs();
  CHECK(available_threads(machine.root.path()) == processors);
  for (const char* nonsense : {"", "0", "-3", "x"}) {
    const Environment set("OMP_NUM_THREADS", nonsense);
    CHECK(available_threads(machine.root.path()) == processors);
  }
  {
    const Environment set("OMP_NUM_THREADS", "1,4");
    CHECK(available_threads(machine.root.path()) == 1);
  }
  machine.file("proc/self/cgroup", "0::/\n");
  machine.file("sys/fs/cgroup/cpu.max", "20000 100000\n");
  CHECK(available_threads(machine.root.path()) == 1);
  machine.file("sys/fs/cgroup/cpu.max", "99900000 100000\n");
  CHECK(available_threads(machine.root.path()) == std::min(processors, 999));
}

TEST_CASE("parallel loops use as many threads as are asked for") {
  const int before = omp_get_max_threads();
  CHECK(use_threads(3) == 3);
  CHECK(omp_get_max_threads() == 3);
  CHECK(use_threads(0) == available_threads());
  CHECK(omp_get_max_threads() == available_threads());
  CHECK_THROWS_AS(use_threads(-1), UsageError);
  CHECK_THROWS_AS(use_threads(1025), UsageError);
  omp_set_num_threads(before);
}

}  // namespace
}  // namespace protolith
