#!/usr/bin/env bash
# Records a timeline of the episodes asked for with NVIDIA Nsight Systems and summarises its kernels.
name=nsys.sh tool=nsys product="NVIDIA Nsight Systems" package=cuda-nsight-systems-13-0
usage() {
  cat <<'END'
usage: tools/profile/nsys.sh [options] COMMAND [options of protolith]
  --episodes A:B   train: record the episodes A to B only, counted from 1 (needed for train),
                   and end with B unless the command has --episodes N of its own
  --workload W     also print what the formulas predict of a step: O, Op or M, as bench has them; the
                   command's own shapes must be those
  --program FILE   protolith (default: build/profile/protolith)
  --out FOLDER     where the report goes (default: runs/profile)
examples:
  tools/profile/nsys.sh --episodes 101:105 train --preset omniglot-20w1s-lsed --data omniglot:FOLDER --out runs/x
  tools/profile/nsys.sh bench kernels --device cuda --filter relu
Writes FOLDER/nsys.nsys-rep (open it in Nsight Systems), FOLDER/nsys_cuda_gpu_kern_sum.csv and
FOLDER/nsys_cuda_gpu_trace.csv, and prints tools/profile/summarize of the former.
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the profiler, the CUDA backend or a device is missing.
END
}
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse_options "$@"
require_profiler
mkdir -p "$out"
rm -f "$out"/nsys.nsys-rep "$out"/nsys.sqlite "$out"/nsys_cuda_gpu_{kern_sum,trace}.csv # of an earlier call

# A step is one graph: node by node, or it is a single bar. No sampling of the CPU: it needs
# privileges, and the host does little.
options=(--trace=cuda,nvtx,cudnn,cublas --cuda-graph-trace=node --sample=none --cpuctxsw=none
         --force-overwrite=true --output="$out/nsys")
# From cudaProfilerStart to cudaProfilerStop; the program goes on to its end all the same.
if [[ $episodes ]]; then options+=(--capture-range=cudaProfilerApi --capture-range-end=stop --kill=none); fi
nsys profile "${options[@]}" "$program" "${command[@]}"
[[ -f $out/nsys.nsys-rep ]] || { complain "nsys wrote no $out/nsys.nsys-rep: were there episodes ${episodes:-}?"; exit 1; }
nsys stats --force-export=true --force-overwrite=true --format csv --report cuda_gpu_kern_sum \
  --report cuda_gpu_trace --output "$out/nsys" "$out/nsys.nsys-rep"
summarise "$out/nsys_cuda_gpu_kern_sum.csv"
