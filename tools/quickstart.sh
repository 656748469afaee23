#!/usr/bin/env bash
# From a fresh clone to two trained networks: installs, builds, trains SED and LSED with the same
# seed (so the same episodes) and compares them on the same test episodes.
set -euo pipefail
unset CDPATH

usage() {
  cat <<'EOF'
usage: tools/quickstart.sh [--data PATH] [--episodes N]
  --data PATH    the folder with Omniglot's images_background.zip and images_evaluation.zip (or the
                 unpacked folders); without it, glyphs that the program draws itself
  --episodes N   training episodes for each metric (default: 400, with Omniglot 500)
Each call makes a new folder runs/quickstart-N.
EOF
}

data=
episodes=
while (($#)); do
  case $1 in
    --data | --episodes)
      (($# > 1)) || { echo "quickstart.sh: $1 needs a value" >&2; exit 2; }
      [[ $2 ]] || { echo "quickstart.sh: $1 has an empty value" >&2; exit 2; }
      if [[ $1 == --data ]]; then data=$2; else episodes=$2; fi
      shift 2
      ;;
    -h | --help) usage; exit 0 ;;
    *) echo "quickstart.sh: unknown option '$1'" >&2; usage >&2; exit 2 ;;
  esac
done
if [[ $episodes && ! $episodes =~ ^[1-9][0-9]*$ ]]; then
  echo "quickstart.sh: --episodes '$episodes' is not a number of at least 1" >&2
  exit 2
fi
if [[ $data && ! -d $data ]]; then
  echo "quickstart.sh: --data '$data' is not a folder" >&2
  exit 2
fi

if [[ $data ]]; then
  data=$(cd "$data" && pwd)  # before this script changes its own folder
  preset=omniglot-20w1s-sed
  options=(--data "omniglot:$data" --episodes "${episodes:-500}")
else
  preset=demo
  options=(--episodes "${episodes:-400}")
fi

cd "$(dirname "$0")/.."
third_party/install.sh
if command -v ccache >/dev/null; then
  export CMAKE_CXX_COMPILER_LAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER:-ccache}
fi
cmake --preset release
cmake --build --preset release --target protolith protolith_completion -j "${JOBS:-$(nproc)}"
program=build/release/protolith

# The first free name; mkdir without -p fails where another call took it, which makes it ours.
mkdir -p runs
number=1
until mkdir "runs/quickstart-$number" 2>/dev/null; do
  [[ -e runs/quickstart-$number ]] || { echo "quickstart.sh: cannot write to runs/" >&2; exit 1; }
  number=$((number + 1))
done
run=runs/quickstart-$number

for metric in sed lsed; do
  echo
  echo "== training with --metric $metric"
  "$program" train --preset "$preset" "${options[@]}" --metric "$metric" --out "$run/$metric"
done
echo
echo "== test accuracy, and how much better LSED is on the same episodes"
"$program" eval "$run/sed" --compare "$run/lsed"
echo
echo "The runs lie in $run/sed and $run/lsed. Next: $program --help"
