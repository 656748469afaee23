#!/usr/bin/env bash
# Installs what is missing, configures, builds and runs every test. Ends with CTest's summary and what was
# skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  cat <<'EOF'
usage: tests/run.sh [--preset NAME] [CTest options...]
  --gpu           on a machine with a GPU: preset cuda, the tests on the device first, and these under
                  compute-sanitizer where the CUDA toolkit has it
  --preset NAME   a preset of CMakePresets.json: ci (default; warnings are errors), release, debug,
                  asan (address and undefined-behaviour sanitizers), tsan (thread sanitizer), coverage
Other options go to CTest, for example: tests/run.sh -R kernels
JOBS (default: one per core) sets how many compilers, and then tests, run at once.
EOF
}

preset=ci
gpu=
while (($#)); do
  case $1 in
    --preset)
      (($# > 1)) || { echo "run.sh: --preset needs a name" >&2; exit 2; }
      preset=$2
      shift 2
      ;;
    --gpu)
      preset=cuda gpu=yes
      shift
      ;;
    -h | --help) usage; exit 0 ;;
    *) break ;;
  esac
done

install_options=()
[[ $preset == tsan ]] && install_options=(--dev)
third_party/install.sh "${install_options[@]}"

# A compiler cache, where there is one, makes a fresh clone's build mostly hits.
if command -v ccache >/dev/null; then
  export CMAKE_CXX_COMPILER_LAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER:-ccache}
  export CMAKE_CUDA_COMPILER_LAUNCHER=${CMAKE_CUDA_COMPILER_LAUNCHER:-ccache}
  export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
fi
cmake --preset "$preset"
cmake --build --preset "$preset" -j "${JOBS:-$(nproc)}"
if [[ $gpu ]]; then
  # Exit code 77: there is no device, which must not pass for a success here.
  build/cuda/test_gpu
  if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck; do
      compute-sanitizer --tool "$tool" --error-exitcode 1 build/cuda/test_gpu -tce="*200 episodes*"
    done
  else
    echo "run.sh: no compute-sanitizer on the PATH: skipped" >&2
  fi
fi
failed=0
ctest --preset "$preset" -j "${JOBS:-$(nproc)}" "$@" || failed=$?
# CTest shows the output of tests that fail only: what the others left out is said here.
grep -h 'skipped' "build/$preset/Testing/Temporary/LastTest.log" | grep -v '^\[doctest\]' | sed 's/^.*MESSAGE: //' |
  sort -u || true
exit $failed
