# What nsys.sh and ncu.sh share: options, refusals, the summary. Sourced by them; they set `name`
# (the script's), `tool`, `product` and `package` before.
# shellcheck shell=bash
set -euo pipefail
unset CDPATH
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

kUsageError=2    # as the program's own
kCannotProfile=3 # the profiler or the CUDA backend is missing: nothing was run

complain() { echo "$name: $*" >&2; }
usage_error() { complain "$@"; exit $kUsageError; }
cannot_profile() { complain "$@"; exit $kCannotProfile; }

# Sets program, episodes, out, workload, kernels and the array command from the command line.
parse_options() {
  program=$root/build/profile/protolith
  episodes='' out=runs/profile workload='' kernels=''
  while (($#)); do
    case $1 in
      --program | --episodes | --out | --workload | --kernels)
        (($# > 1)) || usage_error "$1 needs a value"
        case $1 in
          --program) program=$2 ;;
          --episodes) episodes=$2 ;;
          --out) out=$2 ;;
          --workload) workload=$2 ;;
          --kernels) kernels=$2 ;;
        esac
        shift 2
        ;;
      -h | --help) usage; exit 0 ;;
      --*) usage_error "unknown option '$1'; the program's own follow its command (train --metric lsed)" ;;
      *) break ;;
    esac
  done
  (($#)) || { usage >&2; usage_error "what shall the program do? For example: train --preset demo"; }
  command=("$@")
  if [[ $kernels && $tool != ncu ]]; then usage_error "--kernels $kernels: only ncu.sh chooses kernels"; fi
  if [[ $episodes ]]; then
    [[ $episodes =~ ^([0-9]{1,9}):([0-9]{1,9})$ ]] && ((0 < 10#${BASH_REMATCH[1]} && 10#${BASH_REMATCH[1]} <= 10#${BASH_REMATCH[2]})) ||
      usage_error "--episodes $episodes: must be A:B with 1 <= A <= B, for example 20:24 for five episodes"
    [[ ${command[0]} == train ]] ||
      usage_error "--episodes $episodes: only train has episodes to choose from; leave it out for ${command[0]}"
    episode_count=$((10#${BASH_REMATCH[2]} - 10#${BASH_REMATCH[1]} + 1))
    # The training ends with them unless it was told when; a preset's own end may be days away.
    [[ " ${command[*]}" == *" --episodes"[\ =]* ]] || command+=(--episodes $((10#${BASH_REMATCH[2]})))
    command+=(--profile-episodes "$episodes")
  elif [[ ${command[0]} == train ]]; then
    usage_error "train needs --episodes A:B: the episodes to record, for example --episodes 20:24"
  fi
  if [[ $workload && ! $workload =~ ^(O|Op|M)$ ]]; then
    usage_error "--workload $workload: must be O, Op or M (protolith bench --help)"
  fi
}

# Ends the script unless there are the profiler, a program with CUDA and a device.
require_profiler() {
  command -v "$tool" >/dev/null || cannot_profile "$tool ($product) is not installed: install NVIDIA's package" \
    "$package from its CUDA repository (the digits are the toolkit's version), or put the folder of an" \
    "installation on the PATH"
  [[ -x $program ]] || cannot_profile "$program is missing: build it with" \
    "'cmake --preset profile && cmake --build --preset profile', or name another one by --program"
  local info
  info=$("$program" info --json) || cannot_profile "$program info --json fails"
  local obstacle
  obstacle=$(python3 -c '
import json, sys
info = json.load(sys.stdin)
cuda = [d for d in info["devices"] if d["name"] == "cuda"][0]
if not info["build"]["cuda"]:
    print("was built without the CUDA backend: build it with the preset profile where the CUDA toolkit and cuDNN are")
elif not cuda["available"]:
    print("finds no CUDA device: " + cuda["description"])' <<<"$info")
  [[ -z $obstacle ]] || cannot_profile "$program $obstacle"
}

# summarise CSV...: the table beside what the formulas predict, where a workload is named.
summarise() {
  local options=()
  if [[ $workload ]]; then
    "$program" bench cost --workload "$workload" --json >"$out/cost.json"
    options=(--cost "$out/cost.json" --episodes "${episode_count:-1}")
  fi
  "$root/tools/profile/summarize" ${options[@]+"${options[@]}"} "$@"
}
