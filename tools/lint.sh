#!/usr/bin/env bash
# Checks our sources: clang-format, #pragma once, file length, white space. Prints every finding.
set -euo pipefail
cd "$(dirname "$0")/.."

if (($#)); then
  sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$0"
  [[ $* == --help || $* == -h ]] && exit 0
  echo "lint.sh: takes no arguments; it checks all files" >&2
  exit 2
fi

if ! command -v clang-format >/dev/null; then
  echo "lint.sh: clang-format is missing; third_party/install.sh --dev installs it" >&2
  exit 1
fi

# Tracked files and new ones that git does not ignore; deleted ones are skipped.
sources() {
  git ls-files --cached --others --exclude-standard -- "$@" | while read -r file; do
    if [[ -f $file ]]; then echo "$file"; fi
  done
}
mapfile -t code < <(sources '*.cpp' '*.h' '*.cu' '*.cuh')
mapfile -t headers < <(sources '*.h' '*.cuh')
mapfile -t texts < <(sources '*.cpp' '*.h' '*.cu' '*.cuh' '*.txt' '*.cmake' '*.sh' '*.py' '*.md' \
                             '*.json' '*.toml' .clang-format .ci/run)
mapfile -t scripts < <(sources '*.sh' .ci/run)

if ((${#code[@]} == 0)); then
  echo "lint.sh: git lists no files here; it needs a clone, and one that git trusts (safe.directory)" >&2
  exit 1
fi

failed=0
finding() {
  echo "lint: $*"
  failed=1
}

kMaxLines=500
for file in "${code[@]}"; do
  lines=$(wc -l <"$file")
  if ((lines >= kMaxLines)); then finding "$file: $lines lines, must be fewer than $kMaxLines"; fi
done
for file in "${headers[@]}"; do
  # Highway includes these once for each instruction set.
  [[ $file == *-inl.h ]] && continue
  grep -q '^#pragma once$' "$file" || finding "$file: no #pragma once"
done
while read -r line; do
  finding "white space at the end of a line: $line"
done < <(grep -nE '[[:space:]]+$' "${texts[@]}" /dev/null | cut -c1-120)
for file in "${scripts[@]}"; do
  [[ -x $file ]] || finding "$file: not executable"
  bash -n "$file" || finding "$file: does not parse"
done
for file in "${code[@]}"; do
  clang-format "$file" | cmp -s "$file" - || finding "$file: clang-format -i would change it"
done

echo "lint: ${#code[@]} sources, ${#scripts[@]} scripts: $([[ $failed == 0 ]] && echo clean || echo FAILED)"
exit $failed
