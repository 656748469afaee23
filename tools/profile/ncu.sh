#!/usr/bin/env bash
# Measures the kernels of the episodes asked for with NVIDIA Nsight Compute: bytes, caches,
# occupancy, stalls, tensor pipes, lines of source; and summarises them beside our formulas.
name=ncu.sh tool=ncu product="NVIDIA Nsight Compute" package=cuda-nsight-compute-13-0
usage() {
  cat <<'END'
usage: tools/profile/ncu.sh [options] COMMAND [options of protolith]
  --episodes A:B   train: the episodes A to B only, counted from 1 (needed for train), ending with B
                   unless the command has --episodes N of its own; ncu runs every kernel dozens of
                   times, so one episode (20:20) is enough
  --kernels REGEX  only kernels whose name matches, for example 'relu|pool'
  --workload W     also print what the formulas predict of a step: O, Op or M, as bench has them; the
                   command's own shapes must be those
  --program FILE   protolith (default: build/profile/protolith)
  --out FOLDER     where the report goes (default: runs/profile)
examples:
  tools/profile/ncu.sh bench kernels --device cuda --filter max_pool_forward --warm 0 --repeats 1
  tools/profile/ncu.sh --episodes 101:101 --kernels 'relu|pool' train --preset demo --out runs/x
Writes FOLDER/ncu.ncu-rep (open it in Nsight Compute) and FOLDER/ncu_raw.csv, and prints
tools/profile/summarize of the latter.
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the profiler, the CUDA backend or a device is missing.
END
}
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse_options "$@"
require_profiler
mkdir -p "$out"
rm -f "$out"/ncu.ncu-rep "$out"/ncu_raw.csv # of an earlier call

# Sections know the names that each generation of GPUs has for a thing (pipes above all); metrics
# are those that summarize reads.
sections=(LaunchStats SpeedOfLight MemoryWorkloadAnalysis Occupancy SchedulerStats WarpStateStats
          ComputeWorkloadAnalysis SourceCounters)
metrics=gpu__time_duration.sum,dram__bytes_read.sum,dram__bytes_write.sum
metrics+=,lts__t_sector_hit_rate.pct                          # L2
metrics+=,sm__warps_active.avg.pct_of_peak_sustained_active   # achieved occupancy
metrics+=,smsp__issue_active.avg.pct_of_peak_sustained_active # cycles with an instruction issued
metrics+=,regex:smsp__average_warps_issue_stalled_.*_per_issue_active.ratio # warps waiting, by reason
metrics+=,'regex:sm__inst_executed_pipe_tensor.*\.sum$'        # tensor cores

# Kernels of a graph one by one; lines of source by -lineinfo (preset profile).
options=(--graph-profiling node --import-source yes --metrics "$metrics" --force-overwrite --export "$out/ncu")
for section in "${sections[@]}"; do options+=(--section "$section"); done
if [[ $kernels ]]; then options+=(--kernel-name "regex:$kernels"); fi
# From cudaProfilerStart to cudaProfilerStop.
if [[ $episodes ]]; then options+=(--profile-from-start off); fi
ncu "${options[@]}" "$program" "${command[@]}"
[[ -f $out/ncu.ncu-rep ]] || { complain "ncu wrote no $out/ncu.ncu-rep: no kernel was measured"; exit 1; }
ncu --import "$out/ncu.ncu-rep" --csv --page raw --print-units base >"$out/ncu_raw.csv"
summarise "$out/ncu_raw.csv"
