#!/usr/bin/env bash
# ./dev itself: its answers to wrong use, its counting of tests, set-up on a machine that lacks something (packages, a CUDA Toolkit), what
# the demo builds and the times that it reports; that lint takes no tool that fails for one that finds nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tests/support/expectations.sh
. tests/support/expectations.sh

# outcome COMMAND…: its exit status and the first line that it prints.
outcome() {
    local status=0
    "$@" >"$scratch/output" 2>&1 </dev/null || status=$?
    echo "$status $(head -n 1 "$scratch/output")"
}

# fake NAME BODY: a program that comes first in the path of pretend.
fake() {
    mkdir -p "$scratch/bin"
    printf '#!/bin/sh\n%s\n' "$2" >"$scratch/bin/$1"
    chmod +x "$scratch/bin/$1"
}
pretend() { PATH="$scratch/bin:$PATH" outcome "$@"; }

wrong_use() {
    expect "unknown call" "2 usage: ./dev CALL [ARGUMENTS]" "$(outcome ./dev fly)"
    expect "unknown preset" "1 error: unknown preset 'fast'; the presets are release, debug, asan, tsan, fuzz, cuda, package" "$(outcome ./dev build fast)"
    expect "wrong set-up" "1 error: setup takes nothing, lint, cuda or simt, not 'everything'" "$(outcome ./dev setup everything)"
    expect "unknown package" "1 error: package takes deb, tar, wheel and options of cmake, not 'rpm'" "$(outcome ./dev package deb rpm)"
    expect "wrong check" "2 lint: there is no check spelling, only formatting house_rules rooms quotes figures scripts tidy" "$(outcome scripts/checks/lint.sh spelling)"
    expect "unknown device" "1 error: --device takes cpu or cuda, not 'tpu'" "$(outcome ./dev test --device tpu)"
    expect "no device" "1 error: there is no NVIDIA driver here, so no test can run on a GPU" \
        "$(outcome bash -c '. ./dev; has_gpu_driver() { false; }; run_all_tests --device cuda')"
}

counting() {
    mkdir "$scratch/logs"
    echo 6:skipped_test >"$scratch/logs/LastTestsDisabled.log"
    cat >"$scratch/logs/LastTest.log" <<'TEXT'
1/5 Testing: doctests that pass
[doctest] test cases: 12 | 12 passed | 0 failed | 3 skipped
Test Passed.
2/5 Testing: doctests of which some fail
[doctest] test cases:  5 |  3 passed |  2 failed | 0 skipped
Test Failed.
3/5 Testing: died half-way
Test Failed.
4/5 Testing: a script
Test Passed.
5/5 Testing: all cases pass, then it dies on the way out
[doctest] test cases:  4 |  4 passed |  0 failed | 0 skipped
Test Failed.
6/6 Testing: skipped_test
skipped: it needs what is not here
Test Passed.
TEXT
    expect "counts" "20 passed, 4 failed" "$(. ./dev && count_tests "$scratch/logs")"
}

missing_packages() {
    fake dpkg-query 'shift 2; for p in "$@"; do [ "$p" = -f ] || [ "$p" = cmake ] || echo "installed $p"; done'
    fake id 'echo 1000'
    fake apt-get 'echo "called $*" >&2; exit 100'
    fake sleep ':'
    fake sudo 'shift; exec "$@"'
    expect "failing apt-get" "1 installing cmake" "$(pretend ./dev setup)"
    expect "three tries" 2 "$(grep -c '^apt-get update failed; trying again$' "$scratch/output")"
    expect "apt-get's own words" 1 "$(grep -c '^called .* update$' "$scratch/output")"
    expect "the way out" "error: apt-get could not install them; as root: apt-get update && apt-get install --no-install-recommends cmake" \
        "$(tail -n 1 "$scratch/output")"
    fake dpkg-query 'shift 2; for p in "$@"; do echo "installed $p"; done'
    expect "nothing to do" "0 " "$(pretend ./dev setup)"
    rm -r "${scratch:?}/bin"
}

# make_wheel NAME MEMBER…: a wheel that holds these empty files; prints its line of a list.
make_wheel() {
    local name=$1 file
    shift
    file=$scratch/wheels/${name//-/_}-1.0-py3-none-any.whl
    mkdir -p "$scratch/wheels"
    python3 - "$file" "${name//-/_}-1.0.dist-info" "$@" <<'PYTHON'
import sys, zipfile
file, info, *members = sys.argv[1:]
contents = {member: "" for member in members}
contents[info + "/WHEEL"] = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
contents[info + "/METADATA"] = "Metadata-Version: 2.1\nName: %s\nVersion: 1.0\n" % info.split("-")[0].replace("_", "-")
contents[info + "/RECORD"] = "".join(name + ",,\n" for name in [*contents, info + "/RECORD"])
with zipfile.ZipFile(file, "w") as wheel:
    for name, text in contents.items():
        wheel.writestr(name, text)
PYTHON
    echo "$name==1.0 --hash=sha256:$(sha256sum "$file" | cut -d ' ' -f 1)"
}

# cuda_setup TOOLKIT: set-up on a machine with that folder as its toolkit (none: empty), from the wheels of this test.
cuda_setup() {
    TOOLKIT=$1 DROPFORGE_CUDA_FOLDER=$scratch/cuda DROPFORGE_CUDA_WHEELS=$scratch/wheels.txt PIP_NO_INDEX=1 PIP_FIND_LINKS=$scratch/wheels \
        pretend bash -c '. ./dev; machine_toolkit() { [ -n "$TOOLKIT" ] && echo "$TOOLKIT"; }; setup_cuda'
}

cuda_wheels() {
    python3 -m pip --version >/dev/null 2>&1 || { echo "no pip here: set-up of the CUDA Toolkit is not tested"; return; }
    local good links
    {
        make_wheel nvidia-cuda-nvcc nvidia/cu13/bin/nvcc nvidia/cu13/lib/libcudart.so.13
        make_wheel nvidia-cudnn-cu13 nvidia/cudnn/lib/libcudnn.so.9 nvidia/cudnn/include/cudnn.h
        make_wheel nvidia-cuda-cuobjdump nvidia/cu13/bin/cuobjdump
    } >"$scratch/wheels.txt"
    good=$(cat "$scratch/wheels.txt")

    fake df 'echo; echo "disk 0 0 900000 99% /"'
    expect "a full disk" "1 error: the CUDA wheels need 1 GB here while they are installed, of which there are 0" "$(cuda_setup "")"
    rm "$scratch/bin/df"
    sed -i '2s/sha256:..../sha256:0000/' "$scratch/wheels.txt"
    expect "a damaged wheel" "1 error: pip could not install the CUDA wheels; complete files are kept for the next try" \
        "$(cuda_setup "" >"$scratch/line" && cut -c1 "$scratch/line") $(tail -n 1 "$scratch/output")"
    expect "what is damaged" 1 "$(grep -c 'THESE PACKAGES DO NOT MATCH THE HASHES' "$scratch/output")"
    expect "nothing half" "" "$(ls "$scratch/cuda" 2>/dev/null)"

    echo "$good" >"$scratch/wheels.txt"
    expect "the whole toolkit" "0 installing 3 CUDA wheels into $scratch/cuda" "$(cuda_setup "")"
    links=$(cd "$scratch/cuda/nvidia/cu13" && echo "$(ls bin)" "$(ls include)" "$(readlink lib64/libcudart.so)" "$(readlink lib/libcudnn.so)")
    expect "its links" "cuobjdump nvcc cudnn.h libcudart.so.13 libcudnn.so.9" "${links/$'\n'/ }"
    expect "nothing to do" "0 " "$(cuda_setup "")"
    expect "a changed list" "1 error: $scratch/wheels.txt has no nvidia-cuda-nvdisasm" "$(mkdir -p "$scratch/kit" && cuda_setup "$scratch/kit")"

    mkdir -p "$scratch/kit/bin" "$scratch/kit/include"
    touch "$scratch/kit/bin/nvdisasm" "$scratch/kit/bin/compute-sanitizer" "$scratch/kit/include/cudnn_frontend.h"
    chmod +x "$scratch/kit/bin/"*
    rm -r "$scratch/cuda"
    expect "what a toolkit lacks" "0 installing 1 CUDA wheels into $scratch/cuda" "$(cuda_setup "$scratch/kit")"
    expect "nothing else" "cuobjdump" "$(ls "$scratch/cuda/nvidia/cu13/bin")"
    rm -r "${scratch:?}/bin"
}

demo_times() {
    local demo='. ./dev; setup() { :; }; setup_for_gpu() { :; }; build() { echo "build $*"; exit; }'
    expect "the demo builds what it needs" "0 build release dropforge bench demo_text" \
        "$(outcome bash -c "$demo; has_gpu_driver() { :; }; cuda_is_built() { false; }; main pretrain")"
    expect "what is built stays" "0 build release dropforge bench demo_text" \
        "$(outcome bash -c "$demo; has_gpu_driver() { false; }; cuda_is_built() { :; }; main pretrain")"
    expect "without a GPU, no CUDA" "0 build release -DDROPFORGE_CUDA=OFF dropforge bench demo_text" \
        "$(outcome bash -c "$demo; has_gpu_driver() { false; }; cuda_is_built() { false; }; main pretrain")"
    expect "how long each part took" "0 How long each part took (minutes:seconds):" "$(outcome bash -c '
        . ./dev; . scripts/demo/demo.sh
        SECONDS=3; phase build; SECONDS=250; phase training; SECONDS=3850; report_phases')"
    expect "its parts" "build 4:07 training 60:00 in all 64:07" "$(tail -n +2 "$scratch/output" | xargs)"
}

# lint COMMAND…: outcome of one of lint's functions.
lint() { outcome bash -c '. scripts/checks/lint.sh && "$@"' lint "$@"; }

python_failures() {
    command -v mypy >/dev/null || { echo "no mypy here: lint of Python is not tested"; return; }
    echo 'print("1" +)' >"$scratch/wrong.py"
    expect "a wrong Python script" "2 $scratch/wrong.py:1: error: invalid syntax  [syntax]" "$(lint python_types "$scratch/wrong.py")"
    echo 'def twice(text: str) -> int: return 2 * text' >"$scratch/wrong.py"
    expect "a wrong type" "1 $scratch/wrong.py:1: error: Incompatible return value type (got \"str\", expected \"int\")  [return-value]" \
        "$(lint python_types "$scratch/wrong.py")"
    expect "a right one" "0 " "$(lint python_types scripts/package/manual.py)"
}

lint_failures() {
    mkdir -p .cache/tidy
    export TIDY_STATE=of_this_test
    fake clang-tidy 'kill -SEGV $$'
    expect "a crash of clang-tidy" 1 "$(PATH="$scratch/bin:$PATH" lint tidy_file base/file.cpp | cut -c1)"
    expect "what crashed" "base/file.cpp: clang-tidy ended with status 139" "$(tail -n 1 "$scratch/output")"
    fake clang-tidy 'echo "1234 warnings generated."'
    expect "clang-tidy finds nothing" "0 " "$(PATH="$scratch/bin:$PATH" lint tidy_file base/file.cpp)"
    rm .cache/tidy/"$(cat base/file.cpp - <<<"$TIDY_STATE" | sha1sum | cut -c1-40)"
    fake cmake 'echo "cmake failed"; exit 1'
    expect "a build folder that cannot be configured" "1 cmake failed" "$(PATH="$scratch/bin:$PATH" lint tidy)"
    rm -r "${scratch:?}/bin"
    python_failures
    expect "a file that cannot be read" "1 grep: $scratch/none: No such file or directory" \
        "$(lint eval "echo '$scratch/none' | search x")"
}

# cores FILE TEXT…: what scripts/setup/cores.sh answers on a machine of 8 processors with these files.
cores() {
    rm -rf "$scratch/machine"
    while [ $# -gt 0 ]; do
        mkdir -p "$scratch/machine/$(dirname "$1")"
        printf '%s\n' "$2" >"$scratch/machine/$1"
        shift 2
    done
    pretend scripts/setup/cores.sh "$scratch/machine"
}

cores_of_quotas() {
    fake nproc '[ -z "$OMP_NUM_THREADS" ] && echo 8'
    local own=proc/self/cgroup sys=sys/fs/cgroup
    expect "no control groups" "0 8" "$(OMP_NUM_THREADS=1 cores)"
    expect "no quota" "0 8" "$(cores $own 0::/a/b $sys/a/b/cpu.max 'max 100000')"
    expect "a quota above" "0 2" "$(cores $own 0::/a/b $sys/a/b/cpu.max 'max 100000' $sys/a/cpu.max '150000 100000')"
    expect "more than there is" "0 8" "$(cores $own 0::/a $sys/a/cpu.max '6400000 100000')"
    expect "the host's path" "0 3" "$(cores $own 0::/docker/1 $sys/cpu.max '300000 100000')"
    expect "version 1" "0 4" "$(cores $own 3:cpu,cpuacct:/a $sys/cpu/a/cpu.cfs_quota_us 350000 $sys/cpu/a/cpu.cfs_period_us 100000)"
    expect "version 1 without a quota" "0 8" "$(cores $own 3:cpu:/a $sys/cpu/a/cpu.cfs_quota_us -1 $sys/cpu/a/cpu.cfs_period_us 100000)"
    rm -r "${scratch:?}/bin"
}

wrong_use
counting
cores_of_quotas
missing_packages
cuda_wheels
demo_times
lint_failures
as_expected
