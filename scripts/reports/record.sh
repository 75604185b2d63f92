#!/usr/bin/env bash
# record.sh COMMAND…: runs a command, and prints it and its output as benchmarks/*.md keep them. The programs of build/release come first.
#     scripts/reports/record.sh bench step --model bert-mini --json >>benchmarks/MACHINE.md
set -euo pipefail
PATH=$PWD/build/release/bin:$PATH
printf '\n```console\n$ %s\n' "$*"
"$@"
printf '```\n'
