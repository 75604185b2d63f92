#!/usr/bin/env bash
# nvcc takes every CUDA kernel and all keep within their budgets; and a kernel that does not, or is not in the budget, is named.
# NVCC: the compiler; empty: skipped (exit code 77). BUILD: the build folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

check() { bash scripts/checks/nvcc_check.sh "${NVCC:-}" "${BUILD:-build/release}/cuda"; }
check

altered=$(mktemp)
trap 'rm -f "$altered"' EXIT

# refuses WHAT SED-EXPRESSION MESSAGE: the budget changed like that makes the check fail with that message. Nothing is compiled again.
refuses() {
    local output
    sed -E "$2" kernels/cuda/budget.txt >"$altered"
    if output=$(DROPFORGE_CUDA_BUDGET=$altered check); then
        echo "$1: was not noticed"
        exit 1
    fi
    grep -qF "$3" <<<"$output" || { echo "$1: expected '$3', got: $output"; exit 1; }
}
kernel='gather_kernel<uint4>'
architecture=${DROPFORGE_CUDA_ARCHITECTURES:-all}
architecture=${architecture%% *}  # one of those that are compiled for
architecture=sm_${architecture/all/80}
refuses "fewer registers" "s/^($kernel) \| [0-9]+/\1 | 8/" "FAILED: $kernel on $architecture: "
refuses "less shared memory" 's/^(partials_kernel \| [0-9]+) \| [0-9]+/\1 | 512/' "1024 bytes of shared memory, of at most 512"
refuses "more occupancy" "s/^($kernel .*) [0-9]+\$/\1 101/" "FAILED: $kernel on $architecture: occupancy "
refuses "a kernel without a budget" "/^$kernel/d" "FAILED: $kernel on $architecture has no line in "
refuses "a budget without a kernel" "s/^$kernel(.*)/&\nno_kernel\1/" "FAILED: no_kernel of "
