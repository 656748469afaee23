#!/usr/bin/env bash
# Writes what `protolith bench cost --markdown` prints into docs/performance.md, between the markers
# there; with --check, says whether it is what stands there. Needs no GPU.
# Usage: tools/step_cost.sh [--check] PROGRAM
set -euo pipefail

check=false
if [[ ${1-} == --check ]]; then
  check=true
  shift
fi
if (($# != 1)); then
  echo "usage: tools/step_cost.sh [--check] PROGRAM" >&2
  exit 2
fi
program=$(realpath "$1")
cd "$(dirname "$0")/.."

file=docs/performance.md
begin='<!-- generated: tools/step_cost.sh writes from here -->'
end='<!-- to here -->'
for marker in "$begin" "$end"; do
  if [[ $(grep -cxF "$marker" $file) != 1 ]]; then
    echo "step_cost.sh: $file must have the line '$marker' once" >&2
    exit 1
  fi
done

new=$(mktemp)
trap 'rm -f "$new"' EXIT
{
  sed "\\|^$begin\$|q" $file
  for workload in Op M; do
    echo
    "$program" bench cost --workload $workload --markdown
  done
  echo
  sed -n "\\|^$end\$|,\$p" $file
} >"$new"

if cmp -s "$new" $file; then
  echo "step_cost.sh: $file is up to date"
elif $check; then
  diff -u $file "$new" || true
  echo "step_cost.sh: $file is out of date; run tools/step_cost.sh $program" >&2
  exit 1
else
  cat "$new" >$file
  echo "step_cost.sh: $file written"
fi
