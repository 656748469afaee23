#!/usr/bin/env bash
# Builds the fuzz targets and runs each for its share of the time. Prints a line for each; exits 1 when
# one has a finding, and names the file that repeats it.
set -euo pipefail
cd "$(dirname "$0")/../.."

usage() {
  cat <<'EOF'
usage: tests/fuzz/run.sh [--total SECONDS] [TARGET...]
  --total SECONDS   wall time for all targets together, without the build (default: 60)
  TARGET            only these; default: all of tests/fuzz
JOBS (default: one per core) sets how many run at once. What was learned stays in build/fuzz/corpus, so
that a later run goes on from there. To repeat a finding: build/fuzz/tests/fuzz/fuzz_TARGET FILE
EOF
}

total=60
targets=()
while (($#)); do
  case $1 in
    --total)
      (($# > 1)) && [[ $2 =~ ^[1-9][0-9]*$ ]] || { echo "run.sh: --total needs seconds" >&2; exit 2; }
      total=$2
      shift 2
      ;;
    -h | --help) usage; exit 0 ;;
    -*) echo "run.sh: unknown option '$1'" >&2; usage >&2; exit 2 ;;
    *)
      targets+=("$1")
      shift
      ;;
  esac
done
all=(archive cache checkpoint class_lists config image run_folder safetensors tables)
if [[ ${#targets[@]} -eq 0 ]]; then targets=("${all[@]}"); fi
for target in "${targets[@]}"; do
  [[ " ${all[*]} " == *" $target "* ]] || { echo "run.sh: no target '$target': one of ${all[*]}" >&2; exit 2; }
done

third_party/install.sh --dev
if command -v ccache >/dev/null; then
  export CMAKE_CXX_COMPILER_LAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER:-ccache}
  export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
fi
jobs=${JOBS:-$(nproc)}
cmake --preset fuzz
cmake --build --preset fuzz -j "$jobs"

root=build/fuzz
programs=$root/tests/fuzz
rm -rf "$root/seeds" "$root/scratch"
mkdir -p "$root/findings" "$root/logs" "$root/scratch"
# The targets' temporary folders, of those too that are killed.
TMPDIR=$PWD/$root/scratch
export TMPDIR
"$programs/fuzz_seeds" "$root/seeds"

# The memory that one input may make a reader take at once. An xz stream may ask for a dictionary of
# 1 GiB, libarchive's own bound, which costs address space but not memory until it is filled.
malloc_limit_mb() {
  case $1 in
    archive) echo 1100 ;;
    *) echo 512 ;;
  esac
}

# fuzz TARGET SECONDS: runs it; its output goes to a log.
fuzz() {
  local target=$1 seconds=$2
  mkdir -p "$root/corpus/$target"
  ASAN_OPTIONS=quarantine_size_mb=32 UBSAN_OPTIONS=print_stacktrace=1 "$programs/fuzz_$target" \
    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
    -malloc_limit_mb="$(malloc_limit_mb "$target")" -max_len=65536 -print_final_stats=1 -print_funcs=0 \
    -artifact_prefix="$root/findings/$target-" "$root/corpus/$target" "$root/seeds/$target" \
    >"$root/logs/$target" 2>&1
}

# report TARGET STATUS: its line.
report() {
  local target=$1 status=$2 log=$root/logs/$1 executions coverage file
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -1)
  coverage=$(grep -o 'cov: [0-9]*' "$log" | tail -1 | cut -d' ' -f2) || true
  if ((status == 0)); then
    printf '%-12s %10s executions, coverage %5s, no findings\n' "$target" "${executions:-?}" "${coverage:-?}"
    return
  fi
  file=$(sed -n 's/.*Test unit written to //p' "$log" | tail -1)
  grep -m1 -E 'ERROR:|runtime error:' "$log" || tail -5 "$log"
  printf '%-12s %10s executions, coverage %5s, FINDING: %s (log: %s)\n' "$target" "${executions:-?}" \
    "${coverage:-?}" "${file:-no file, see the log}" "$log"
  return 1
}

# As many at once as there are jobs, each as long as makes the total.
at_once=$((jobs < ${#targets[@]} ? jobs : ${#targets[@]}))
rounds=$(((${#targets[@]} + at_once - 1) / at_once))
share=$((total / rounds > 0 ? total / rounds : 1))
echo "fuzzing: ${#targets[@]} targets, $share s each, $at_once at once"
findings=0
for ((first = 0; first < ${#targets[@]}; first += at_once)); do
  batch=("${targets[@]:first:at_once}")
  pids=()
  for target in "${batch[@]}"; do
    fuzz "$target" "$share" &
    pids+=($!)
  done
  for i in "${!batch[@]}"; do
    status=0
    wait "${pids[i]}" || status=$?
    report "${batch[i]}" "$status" || findings=$((findings + 1))
  done
done
echo "fuzzing: ${#targets[@]} targets, $findings with findings"
((findings == 0))
