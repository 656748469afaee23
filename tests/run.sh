#!/usr/bin/env bash
# Installs what is missing, configures, builds and runs every test. Ends with CTest's summary.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  cat <<'EOF'
usage: tests/run.sh [--preset NAME] [CTest options...]
  --preset NAME   a preset of CMakePresets.json: ci (default; warnings are errors), release, debug,
                  asan (address and undefined-behaviour sanitizers), tsan (thread sanitizer), coverage
Other options go to CTest, for example: tests/run.sh -R kernels
JOBS (default: one per core) sets how many compilers run at once.
EOF
}

preset=ci
while (($#)); do
  case $1 in
    --preset)
      (($# > 1)) || { echo "run.sh: --preset needs a name" >&2; exit 2; }
      preset=$2
      shift 2
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
  export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
fi
cmake --preset "$preset"
cmake --build --preset "$preset" -j "${JOBS:-$(nproc)}"
ctest --preset "$preset" "$@"
