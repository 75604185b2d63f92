#!/usr/bin/env bash
# ./dev gpu-day with programs that only pretend: all stages run although some fail and one takes too long, another call does what is left, and the
# report says all of it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
command -v python3 >/dev/null || { echo "no python3 here: skipped"; exit 77; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failures=0
out=$scratch/day

# expect NAME WANTED GOT
expect() {
    if [ "$2" = "$3" ]; then return; fi
    printf 'FAILED: %s\n  wanted: %s\n  got:    %s\n' "$1" "$2" "$3"
    failures=$((failures + 1))
}

# fake NAME: a program whose body is stdin. Its calls are counted in NAME.calls.
fake() {
    { printf '#!/bin/sh\necho "$*" >>"%s"\n' "$scratch/$1.calls"; cat; } >"$scratch/bin/$1"
    chmod +x "$scratch/bin/$1"
}

# day ARGUMENTS…: prints the exit status and the last line.
day() {
    local status=0
    PATH=$scratch/bin:$PATH CUDA_PATH=$scratch GPU_DAY_BIN=$scratch/bin GPU_DAY_LIMIT=${limit:-60} ./dev gpu-day "$@" >"$scratch/output" 2>&1 ||
        status=$?
    echo "$status $(tail -n 1 "$scratch/output")"
}

# report EXPRESSION: Python's, of report.json as r.
report() { python3 -c 'import json, sys; r = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$out/report.json" "$1"; }

mkdir "$scratch/bin"
fake nvidia-smi <<<'case $1 in -L) exit 9 ;; esac'
expect "no GPU" "1 error: there is no NVIDIA GPU here, and this is about nothing else; \`./dev test\` checks what can be checked without" \
    "$(day "$out")"
expect "nothing was begun" "" "$(ls "$out" 2>/dev/null)"

fake nvidia-smi <<<'case $1 in -L) echo "GPU 0" ;; *) echo "NVIDIA H100 <80GB>, 580.1, 9.0" ;; esac'
fake dropforge <<<'echo "dropforge 0 & cuda 13"'
fake dev <<<'[ $1 = build ] || echo "40 passed, 0 failed"'
fake parity_test <<<'sleep 30'
fake cuda_parity_slow_test <<<':'
fake rows_test <<<':'
fake losses_test <<<':'
# A kernel test that shows a race until there is a file `mended`.
fake compute-sanitizer <<<'
case "$*" in
    *racecheck*losses_test) [ -e '"$scratch"'/mended ] || { echo "========= RACECHECK SUMMARY: 1 hazard displayed"; exit 99; } ;;
esac
echo "========= ERROR SUMMARY: 0 errors"'
fake bench <<<'
option() { shift_to=$1; shift; while [ $# -gt 0 ] && [ "$1" != "$shift_to" ]; do shift; done; echo "$2"; }
model=$(option --model "$@") method=$(option --method "$@") precision=$(option --precision "$@") sequence=$(option --sequence "$@")
case "$*" in
    step*--by-op*) echo "{\"method\":\"$method\",\"by_op\":[{\"op\":\"adamw\",\"ms\":1.5,\"share\":0.25,\"gflops\":0,\"gbytes_per_second\":2500}]}" ;;
    step*bert-large*dense*f32*512*) [ -e '"$scratch"'/mended ] || { echo "error: does not fit" >&2; exit 1; }; echo "{}" ;;
    step*) echo "{\"model\":\"$model\",\"method\":\"$method\",\"precision\":\"$precision\",\"batch\":8,\"sequence\":$sequence,\"ms_median\":4,
        \"sequences_per_second\":2000.5,\"gflops\":300000,\"mfu\":0.5}" ;;
    predict*--device*h100*) echo "{\"ms\":3}" ;;
    gemm*) echo "{\"model\":\"$model\",\"rates\":[{\"dtype\":\"bf16\",\"peak_gflops\":800000,
        \"shapes\":[{\"name\":\"qkv\",\"m\":1,\"n\":2,\"k\":3,\"gflops\":600000}]}]}" ;;
    kernels*) echo "{\"kernels\":[{\"model\":\"$model\",\"kernel\":\"gelu\",\"dtype\":\"bf16\",\"ms\":0.01,\"gbytes_per_second\":3000,\"bandwidth_share\":0.9}]}" ;;
    *) exit 2 ;;
esac'

devices() { (. scripts/reports/gpu_day.sh; for name in "$@"; do device_of "$name" || echo none; done) | paste -sd ' '; }
expect "devices by name" "h100 h200 a100 a100-40gb rtx4090 none" \
    "$(devices "NVIDIA H100 80GB HBM3" "NVIDIA H200" "NVIDIA A100-SXM4-80GB" "NVIDIA A100-SXM4-40GB" "NVIDIA GeForce RTX 4090" "Tesla T4")"
expect "a wrong stage" "1 error: no stage 'nap'; the stages are build machine tests parity gemm kernels steps predictions operations memcheck racecheck initcheck synccheck" \
    "$(day "$out" nap)"
expect "one stage, which takes too long" "1 0 passed, 1 failed" "$(limit=1 day "$out" parity)"
expect "what became of it" "too long" "$(cat "$out/parity/status")"
fake parity_test <<<'echo ok'
expect "the first day" "1 11 passed, 2 failed" "$(day "$out")"
expect "a step fails" "failed" "$(cat "$out/steps/status")"
expect "what it said" "error: does not fit" "$(head -n 1 "$out/steps/bert-large_dense_f32_512.error")"
expect "a race is found" "failed passed" "$(cat "$out/racecheck/losses_test.status" "$out/racecheck/rows_test.status" | paste -sd ' ')"
expect "its words in the report" "RACECHECK SUMMARY: 1 hazard displayed" "$(report 'r["racecheck"][0]["summary"]')"
expect "the device" "NVIDIA H100 <80GB>, 580.1, 9.0" "$(report 'r["gpu"]')"
expect "counts of tests" "40" "$(report 'next(s for s in r["stages"] if s["name"] == "tests")["tests_passed"]')"
expect "all steps" "64" "$(report 'len(r["steps"])')"
expect "beside what was predicted" "0.75" "$(report 'next(s for s in r["steps"] if s["cell"] == "bert-base_dense_bf16_128")["of_prediction"]')"
expect "matrix products" "600000" "$(report 'r["gemm"][0]["rates"][0]["shapes"][0]["gflops"]')"

expect "a self-contained page" 0 "$(grep -ciE '(src|href)=|https?:' "$out/report.html" || true)"
expect "escaped text" "1 0" "$(grep -c '<h1>Dropforge on NVIDIA H100 &lt;80GB&gt;' "$out/report.html") $(grep -c '<80GB>' "$out/report.html")"
expect "a row with its prediction" 1 "$(grep -c '<td>bert-base</td><td>dense</td><td>bf16</td><td>8 x 512</td><td>2000.5</td><td>4.00</td><td>300.0</td><td>50.0 %</td><td>3.00</td><td>75.0 %</td>' "$out/report.html")"
expect "failed rows" 1 "$(grep -c '<tr class="failed"><td>bert-large_dense_f32_512</td><td>error: does not fit' "$out/report.html")"
expect "the sections" 9 "$(grep -c '^<h2>' "$out/report.html")"

: >"$scratch/mended"
rm "$scratch"/*.calls
expect "the second day" "0 13 passed, 0 failed" "$(day "$out")"
expect "only what was left" "step --device cuda --steps 8 --model bert-large --method dense --precision f32 --batch 32 --sequence 512 --json" \
    "$(cat "$scratch/bench.calls")"
expect "one test under the sanitizer again" 1 "$(wc -l <"$scratch/compute-sanitizer.calls")"
expect "no build again" "" "$(cat "$scratch/dev.calls" 2>/dev/null)"

echo 0123 >"$out/version"
expect "another version" "1 error: $out is of version 0123, and this is $(git describe --always --dirty --abbrev=12 --exclude='*' 2>/dev/null || echo unknown): name another folder" \
    "$(day "$out")"
[ $failures = 0 ] && echo "all as expected"
