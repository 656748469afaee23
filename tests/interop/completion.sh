#!/usr/bin/env bash
# Shells and man read what `protolith completion` writes for them.
#
#     tests/interop/completion.sh PROTOLITH
#
# bash completes command lines with its script; zsh, fish, man and groff check theirs where they are
# installed, and what is not is named.
set -euo pipefail
export LC_ALL=C MANWIDTH=80

program=$(realpath "$1")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for reader in bash zsh fish man; do
  "$program" completion "$reader" >"$folder/$reader"
done

failed=0
finding() {
  echo "FAILED: $*"
  failed=1
}

# What bash offers for the words of a command line, of which the last is being typed. Readline takes
# words apart at = and : too, so these are words of their own.
offered() {
  bash -c '
    source <("$0" completion bash)
    [[ $(complete -p protolith) == *"-o default -F _protolith protolith" ]] || exit 1
    COMP_WORDS=(protolith "$@")
    COMP_CWORD=$#
    _protolith
    [[ ${#COMPREPLY[@]} == 0 ]] || printf "%s\n" "${COMPREPLY[@]}"' "$program" "$@" |
    sort | tr '\n' ' '
}

# expect OFFERED WORD...
expect() {
  local expected=$1 reply
  shift
  reply=$(offered "$@")
  [[ $reply == "$expected" ]] || finding "bash, protolith $*: '$reply', not '$expected'"
}

expect 'train ' tr
expect 'report reproduce ' re
expect '--version ' --v
expect '' unknown --d
expect '--precision --preset --print-config --profile --profile-episodes ' train --pr
expect '--split --split-lists --split-seed --split-shares ' eval --split
expect 'auto cpu cuda ' train --device ''
expect 'cpu cuda ' train --device c
expect 'cpu cuda ' train --device = c
expect 'auto cpu cuda ' train --device =
expect 'mini-5w1s-lsed mini-5w1s-sed ' train --quiet --preset mini-5w1
expect 'folder: ' train --data fo
expect '' train --data folder : som
expect '' train --seed ''
expect '' train --config ''
expect '' classify --query a.png ''
expect 'eval ' bench ev
expect 'M O Op ' bench step --workload ''
# The command is the first word that is none of the program's flags: no value, no later word.
expect '--compare --convolution ' eval --split train --co
expect 'fig8 ' reproduce fig8
all=$(offered '')
commands=0 all_flags=0
for command in $("$program" --help | sed -n '/^Subcommands:/,/^$/s/^  \([a-z-]\+\) .*/\1/p'); do
  [[ " $all" == *" $command "* ]] || finding "bash does not offer the command $command"
  commands=$((commands + 1))
  help=$("$program" "$command" --help)
  flags=" $(offered "$command" -)"
  for flag in $(sed -n 's/^  \(-[^ ={]*\).*/\1/p' <<<"$help" | tr ',' ' '); do
    all_flags=$((all_flags + 1))
    [[ $flags == *" $flag "* ]] || finding "bash does not offer $command $flag"
  done
done
((commands > 10 && all_flags > 200)) || finding "--help told of $commands commands and $all_flags flags only"
echo "bash ${BASH_VERSION%%(*}: checked"

for shell in zsh fish; do
  if command -v "$shell" >/dev/null; then
    errors=$("$shell" -n "$folder/$shell" 2>&1) && [[ -z $errors ]] || finding "$shell -n: $errors"
    echo "$shell: the script parses"
  else
    echo "skipped: $shell is not installed"
  fi
done

if command -v fish >/dev/null; then
  # Not --config: that is an option of train, and here train is a value.
  reply=$(fish --no-config -c "source '$folder/fish'; complete -C 'protolith eval --split train --co'" |
    cut -f 1 | sort | tr '\n' ' ')
  [[ $reply == '--compare --convolution ' ]] || finding "fish, protolith eval --split train --co: '$reply'"
fi

if command -v man >/dev/null; then
  errors=$(man --warnings -E UTF-8 -l -Tutf8 "$folder/man" 2>&1 >"$folder/page")
  [[ -z $errors ]] || finding "man: $errors"
  for words in 'protolith - few-shot' 'protolith train --preset demo --metric lsed' "a run's config"; do
    grep -qF -- "$words" "$folder/page" || finding "the page lacks: $words"
  done
  echo "man: the page has no warnings"
else
  echo "skipped: man is not installed"
fi
if command -v groff >/dev/null; then
  errors=$(groff -man -ww -z "$folder/man" 2>&1)
  [[ -z $errors ]] || finding "groff: $errors"
  echo "groff: the page has no warnings"
else
  echo "skipped: groff is not installed"
fi
exit $failed
