#pragma once

#include <filesystem>

namespace protolith {

/// How many threads keep busy what this process may use: its processors (their affinity), at most
/// OMP_NUM_THREADS where that is set, and at most the CPU time that its control groups allow,
/// rounded up (containers are limited by that: "docker run --cpus=2"). At least 1. `root` is where
/// proc and sys are, for tests.
int available_threads(const std::filesystem::path& root = "/");

/// Makes parallel loops use so many threads from now on, 0: available_threads(). Returns how many.
/// Throws UsageError outside [0, 1024].
int use_threads(int threads);

/// Processors' worth of CPU time that the control groups of this process allow (cgroups(7), version
/// 2's cpu.max and version 1's cpu.cfs_quota_us); infinite where they do not limit it.
double processor_quota(const std::filesystem::path& root = "/");

}  // namespace protolith
