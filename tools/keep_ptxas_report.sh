#!/usr/bin/env bash
# Runs a compiler of CUDA code that is asked for ptxas' resource report (-Xptxas=-v), keeps the
# report beside the object and shows what else the compiler says.
# usage: keep_ptxas_report.sh OBJECT COMPILER ARGUMENTS...
set -uo pipefail
report=$1.ptxas
shift
"$@" 2>"$report"
status=$?
grep -vE '^ptxas info |^ +[0-9]+ bytes stack frame, ' "$report" >&2
if ((status)); then rm "$report"; fi
exit $status
