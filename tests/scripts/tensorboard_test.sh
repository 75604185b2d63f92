#!/usr/bin/env bash
# TensorBoard's own reader opens a run's event files: it has every number of metrics.jsonl, also of a run that went back to a checkpoint, and the check
# notices one that differs. Skipped (exit code 77) where Python has no tensorboard; .ci/run installs it, where it can. BUILD: the build folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
python3 -c 'import tensorboard' 2>/dev/null || { echo "no python3 with tensorboard here: skipped"; exit 77; }
# shellcheck source=tests/support/expectations.sh
. tests/support/expectations.sh
dropforge=${BUILD:-build/release}/bin/dropforge
run=$scratch/run

# pretrain STEPS ARGUMENTS…: a tiny model; what ScTD logs, and evaluations.
pretrain() {
    "$dropforge" pretrain bert-tiny --quiet --data "$scratch/data" --out "$run" --steps "$1" --method sctd --set model.layers=4 --set model.hidden=32 \
        --set model.max_positions=64 --set data.sequence=32 --set train.batch=4 --set sctd.interval=2 --set log.every=1 --set eval.every=2 \
        --set checkpoint.every=4 "${@:2}" >/dev/null
}

# check: prints the exit status and what the check says.
check() {
    local status=0 output
    output=$(python3 scripts/checks/tensorboard_check.py "$run" 2>/dev/null) || status=$?
    echo "$status $output"
}

for ((document = 0; document < 300; ++document)); do
    for ((word = 0; word < 20; ++word)); do printf 'w%d ' $((RANDOM % 50)); done
    printf '\n\n'
done >"$scratch/text.txt"
"$dropforge" prepare --quiet --text "$scratch/text.txt" --out "$scratch/data" --train-vocab 80 --validation-fraction 0.1 >/dev/null

# numbers: those in metrics.jsonl that TensorBoard shows.
numbers() {
    python3 -c 'import json, sys
hidden = {"step", "time", "tokens", "eval_seconds"}
print(sum(value is not None and key not in hidden for line in open(sys.argv[1]) for key, value in json.loads(line).items()))' "$run/metrics.jsonl"
}

pretrain 7
expect "a run" "0 $(numbers) numbers are equal" "$(check)"
sleep 1  # a start in the same second has an event file of the same time
pretrain 10 --resume "$run/checkpoints/step-00000004"
expect "two event files" 2 "$(find "$run" -name 'events.out.tfevents.*' | wc -l)"
expect "steps 5 to 7 were made again" 3 "$(grep -c '"loss"' "$run/set-aside-metrics.jsonl")"
expect "a run that went back to step 4" "0 $(numbers) numbers are equal" "$(check)"

sed -i -E '1 s/"loss":[0-9.]+/"loss":1.5/; 2 d' "$run/metrics.jsonl"
wrong=$(check)
expect "a number that differs, and a line that is missing, fail the check" "1" "${wrong%% *}"
expect "the number that differs" 1 "$(grep -cE '^(1 )?train/loss of step 1: metrics.jsonl has \([0-9.]+, 1.5\), TensorBoard \(' <<<"$wrong")"
expect "the line that is missing" 1 "$(grep -c '^train/loss of step 2: metrics.jsonl has None, TensorBoard (' <<<"$wrong")"
as_expected
