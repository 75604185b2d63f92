#!/usr/bin/env bash
# Everything that wants a real GPU, in one go: ./dev gpu-day OUT [STAGE…]
# Tests, parity and compute-sanitizer, then measurements, compared with predictions. OUT gets report.html and report.json, and a folder for each
# stage. A stage that fails, or takes longer than it may, does not stop the others; a second call runs only what has not passed yet.
# GPU_DAY_LIMIT: seconds that any stage may take at most. GPU_DAY_BIN: a folder of programs (and a `dev`) to use instead of build/cuda/bin.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit

# Name, and seconds that it may take. What tells most comes first: a borrowed GPU may have to be given back.
stages="build 3600
machine 60
tests 1800
parity 300
gemm 300
kernels 900
steps 3600
predictions 600
operations 600
memcheck 1800
racecheck 1800
initcheck 1800
synccheck 1800"

programs=${GPU_DAY_BIN:-build/cuda/bin}
dev=./dev
if [ -n "${GPU_DAY_BIN:-}" ]; then dev=$GPU_DAY_BIN/dev; fi

# ---- the stages: each runs in its own shell, from the root of the source tree, with $out as its folder ---------------

stage_build() { "$dev" build cuda; }

# The rest of the tests is about the source tree, not about the device.
stage_tests() { "$dev" ctest cuda -LE '^(scripts|cuda)$'; }

stage_machine() {
    nvidia-smi --query-gpu=name,driver_version,compute_cap,memory.total,clocks.max.sm,clocks.max.mem,power.limit --format=csv,noheader |
        head -n 1 >"$out/gpu.csv" && "$programs/dropforge" --version >"$out/version.txt" && cat "$out/gpu.csv" "$out/version.txt"
}

stage_parity() { "$programs/parity_test" && "$programs/cuda_parity_slow_test"; }

stage_gemm() { each_cell "gemm --device cuda --batch 128" bert-mini bert-base bert-large; }

stage_kernels() { each_cell "kernels --backend cuda --batch 128" bert-mini bert-base; }

stage_steps() { each_run "step --device cuda --steps 8"; }

# The name of the device's file in bench/predict/devices: the one of which all parts are in the name of the GPU.
device_of() {
    local name key part
    name=$(tr -d ' ' <<<"${1,,}")
    for key in $(basename -s .toml bench/predict/devices/*.toml | sort -r); do
        for part in ${key//-/ }; do [[ $name == *"$part"* ]] || continue 2; done
        echo "$key"
        return
    done
    return 1
}

# What they are compared with is not measured: it needs no GPU, but the device's name.
stage_predictions() {
    local name device
    name=$(cut -d , -f 1 "$out/../machine/gpu.csv")
    device=$(device_of "$name") || { echo "no figures in bench/predict/devices to predict from: $name"; return 1; }
    each_run "predict --device $device"
}

# Separate from the steps, since timing each operation slows them down.
stage_operations() {
    local method status=0
    for method in dense token_dropping sctd; do
        cell "bert-base_${method}_bf16_128" step --device cuda --steps 4 --by-op --model bert-base --method $method --precision bf16 \
            --batch 128 --sequence 128 || status=1
    done
    return $status
}

stage_memcheck() { sanitize; }
stage_initcheck() { sanitize; }
# Those are about one kernel at a time, so NVIDIA's own may be left out.
stage_racecheck() { sanitize --kernel-name kernel_substring=dropforge; }
stage_synccheck() { sanitize --kernel-name kernel_substring=dropforge; }

# ---- what the stages are made of -------------------------------------------------------------------------------------

# cell NAME ARGUMENTS…: what `bench ARGUMENTS --json` prints becomes NAME.json in the stage's folder, or its last words NAME.error.
# Done once, it is not done again.
cell() {
    local file=$out/$1 start=$SECONDS
    shift
    [ ! -e "$file.json" ] || return 0
    rm -f "$file.error"
    if timeout --kill-after=10 180 "$programs/bench" "$@" --json >"$file.part" 2>"$file.log"; then
        mv "$file.part" "$file.json"
        echo "done in $((SECONDS - start)) s: bench $*"
    else
        { tail -n 3 "$file.log" && echo "failed after $((SECONDS - start)) s: bench $*"; } | tee "$file.error"
        return 1
    fi
}

# each_cell ARGUMENTS MODEL…
each_cell() {
    local arguments=$1 model status=0
    shift
    # shellcheck disable=SC2086  # a list of words
    for model in "$@"; do cell "$model" $arguments --model "$model" || status=1; done
    return $status
}

# Every preset, method and precision, with 16384 tokens a step.
each_run() {
    local model method precision sequence status=0
    for model in bert-base bert-mini bert-large bert-small bert-medium bert-tiny; do
        for precision in bf16 f32; do
            for sequence in 128 512; do
                for method in dense token_dropping sctd; do
                    # Two layers are too few to drop tokens between.
                    if [ $model = bert-tiny ] && [ $method != dense ]; then continue; fi
                    # shellcheck disable=SC2086  # a list of words
                    cell "${model}_${method}_${precision}_$sequence" $1 --model $model --method $method --precision $precision \
                        --batch $((16384 / sequence)) --sequence $sequence || status=1
                done
            done
        done
    done
    return $status
}

find_sanitizer() {
    local folder
    for folder in "${CUDA_PATH:-/usr/local/cuda}/bin" .cuda/nvidia/cu13/bin; do
        if [ -x "$folder/compute-sanitizer" ]; then echo "$folder/compute-sanitizer"; return; fi
    done
    command -v compute-sanitizer
}

# sanitize OPTIONS…: the stage's tool over the tests of kernels, some at a time. NAME.log has what it said, NAME.status `passed` or `failed`.
sanitize() {
    local tests
    sanitizer=$(find_sanitizer) || { echo "no compute-sanitizer here: ./dev setup cuda installs it"; return 1; }
    export sanitizer
    mapfile -t tests < <(grep -l 'kernel_testing\.h"' tests/kernels/*_test.cpp | xargs -n 1 basename -s .cpp)
    for test in "${tests[@]}"; do
        if [ -x "$programs/$test" ]; then echo "$test $((port += 16))"; fi
    done | xargs -P 4 -L 1 bash -c '. scripts/reports/gpu_day.sh; sanitize_test "$@"' sanitize "$@"
    ! grep -qx failed "$out"/*.status
}
port=49152

# sanitize_test [OPTIONS…] TEST PORT
sanitize_test() {
    local test=${*: -2:1} status=passed
    local options=("${@:1:$#-2}")
    if [ "$(cat "$out/$test.status" 2>/dev/null)" = passed ]; then return; fi
    timeout --kill-after=10 600 "$sanitizer" --tool "$(basename "$out")" --error-exitcode 99 --require-cuda-init no --port "${*: -1}" "${options[@]}" \
        "$programs/$test" >"$out/$test.log" 2>&1 || status=failed
    echo "$status" >"$out/$test.status"
    printf '%s: %s (%s)\n' "$test" $status "$(grep 'ERROR SUMMARY' "$out/$test.log" | tail -n 1 | sed 's/^=* *//')"
}

# ---- the day ---------------------------------------------------------------------------------------------------------

# run_stage NAME LIMIT: its log, seconds and status (passed, failed, too long) stay in its folder.
run_stage() {
    local start=$SECONDS status=passed limit=$2
    export out=$day/$1 programs dev
    mkdir -p "$out"
    if [ "$(cat "$out/status" 2>/dev/null)" = passed ]; then
        echo "$1: passed before"
        return
    fi
    if [ "$limit" -gt "${GPU_DAY_LIMIT:-$limit}" ]; then limit=$GPU_DAY_LIMIT; fi
    timeout --kill-after=20 "$limit" bash -c '. scripts/reports/gpu_day.sh; "stage_$1"' stage "$1" >"$out/log" 2>&1 &
    running=$!
    wait $running
    case $? in
        0) ;;
        124 | 137) status="too long" ;;
        *) status=failed ;;
    esac
    running=
    echo $((SECONDS - start)) >"$out/seconds"
    echo "$status" >"$out/status"
    echo "$1: $status in $((SECONDS - start)) s"
    if [ "$status" != passed ]; then tail -n 5 "$out/log" | sed 's/^/    /'; fi
}

# What one report says must be of one version.
same_version() {
    local version
    version=$(git describe --always --dirty --abbrev=12 --exclude='*' 2>/dev/null || echo unknown)
    if [ ! -e "$day/version" ]; then echo "$version" >"$day/version"; fi
    [ "$(cat "$day/version")" = "$version" ] || die "$day is of version $(cat "$day/version"), and this is $version: name another folder"
}

main() {
    # shellcheck source=dev
    . ./dev
    set +e
    [ $# -gt 0 ] || { say "usage: ./dev gpu-day OUT [STAGE…]"; exit 2; }
    { has_gpu_driver && nvidia-smi -L >/dev/null 2>&1; } || die "there is no NVIDIA GPU here, and this is about nothing else; \`./dev test\` checks what can be checked without"
    day=$1
    shift
    local name limit wanted=" $* "
    for name in "$@"; do grep -q "^$name " <<<"$stages" || die "no stage '$name'; the stages are $(cut -d ' ' -f 1 <<<"$stages" | paste -sd ' ')"; done
    mkdir -p "$day" || exit
    day=$(cd "$day" && pwd)
    same_version
    install python3
    # An interrupted stage is stopped with all that it has started.
    running=
    trap 'if [ -n "$running" ]; then kill "$running"; fi; exit 130' INT TERM
    while read -r name limit; do
        if [ "$wanted" = "  " ] || [[ $wanted == *" $name "* ]]; then
            run_stage "$name" "$limit" </dev/null
            python3 scripts/reports/gpu_day_report.py "$day" "$(cut -d ' ' -f 1 <<<"$stages" | paste -sd ' ')" || exit
        fi
    done <<<"$stages"
    say "report: $day/report.html"
    local passed failed
    passed=$(cat "$day"/*/status | grep -cx passed)
    failed=$(cat "$day"/*/status | grep -cvx passed)
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
}

# Sourced, this file only gives its functions.
if [ "${BASH_SOURCE[0]}" = "$0" ]; then main "$@"; fi
