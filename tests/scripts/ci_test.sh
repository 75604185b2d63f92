#!/usr/bin/env bash
# .ci/run with stages that only pretend: what it counts, that a stage of the optional ones runs if there is time for it by the speed of the
# required ones, and that what is left out is said and counted.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tests/support/expectations.sh
. tests/support/expectations.sh

# ci COMMANDS: prints what they leave in passed, failed and skipped, after a run that has taken $1 seconds of a budget of 10 minutes.
ci() {
    DROPFORGE_CI_MINUTES=10 bash -c ". .ci/run; log=$scratch/log; SECONDS=$1
        $2
        echo \"\$passed \$failed \$skipped\"" >"$scratch/output" 2>&1 || true
    tail -n 1 "$scratch/output"
}

expect "counts of a test run" "7 2 0" "$(ci 0 'stage a printf "x\n7 passed, 2 failed\n"')"
expect "a stage that is no test run" "1 1 0" "$(ci 0 'stage a true; stage b false')"
expect "tests that pass in a run that fails" "3 1 0" "$(ci 0 'stage a bash -c "echo 3 passed, 0 failed; exit 1"')"
expect "the first failure ends a stage" "0 1 0" "$(ci 0 'stage a in_turn true -- false -- touch '"$scratch"'/ran')"
expect "nothing after it" "" "$(ls "$scratch/ran" 2>/dev/null || true)"
expect "a stage that cannot run here" "0 0 1" "$(ci 0 'stage a bash -c "echo no network; exit 77"')"
expect "what is said of it" "== a: skipped" "$(tail -n 2 "$scratch/output" | head -n 1)"
expect "a stage for which there is time" "1 0 0" "$(ci 300 'slowness=100; optional 300 a true')"
expect "one for which there is none" "0 0 1" "$(ci 301 'slowness=100; optional 300 a true')"
expect "what is said of it" "== a: skipped, it would take some 300 s, and 299 s are left" "$(tail -n 2 "$scratch/output" | head -n 1)"
expect "a machine that is half as fast" "1 0 1" "$(ci 300 'slowness=200; optional 151 a true; optional 150 b true')"
expect "the budget is spent" "0 0 1" "$(ci 700 'slowness=100; optional 1 a true')"
expect "what is said then" "== a: skipped, it would take some 1 s, and 0 s are left" "$(tail -n 2 "$scratch/output" | head -n 1)"
expect "the slowest of the required stages counts" "150" \
    "$(ci 0 'stage() { stage_seconds=$2; }; required 100 a 150; required 100 b 20; echo "$slowness"; exit')"
printf '%s\n' '99% tests passed' 'The following tests did not run:' '   4 - gemm_test@avx512 (Skipped)' '   9 - rows_test@avx512 (Skipped)' \
    '  10 - nvcc_test (Skipped)' '12 passed, 0 failed' >"$scratch/ctest"
expect "instruction sets that the machine lacks" "12 0 1" "$(ci 0 "stage tests cat $scratch/ctest; say_lacking_levels")"
expect "their names" "this machine lacks, so that kernels for it were not tested: avx512" "$(tail -n 2 "$scratch/output" | head -n 1)"
as_expected
