#!/usr/bin/env bash
# The machine code of the CUDA kernels is as good as it was; and what gets worse is named. What is read in it is tried out on code made by hand.
# NVCC, NVDISASM: the programs; empty: only that part runs, then skipped (exit code 77), as all is without python3. BUILD: the build folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
command -v python3 >/dev/null || { echo "no python3 here: skipped"; exit 77; }
unset DROPFORGE_CUDA_ARCHITECTURES  # those of the table, whatever nvcc_test compiles for
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# expect WHAT COUNTS: what machine_code.py says of the kernel whose code is stdin, an instruction or a label a line.
expect() {
    local counts
    counts=$({
        printf '        .other          k,@"STO_CUDA_ENTRY STV_DEFAULT"\n.text.k:\n'
        awk '/:$/ { print; next } { printf "        /*%04x*/                   %s ;\n", NR * 16, $0 }'
    } | python3 scripts/checks/machine_code.py 90 | cut -f 3- | tr '\t' ' ')
    [ "$counts" = "$2" ] || { echo "$1: expected '$2', got '$counts'"; exit 1; }
}

# Accesses of 16 bytes, narrower ones, 8- and 16-bit ones, tensor-core instructions, instructions, local memory, calls, divisions.
expect "a tail is not hot" "2 0 0 0 5 0 0 0" <<'CODE'
ISETP.GT.U32.AND P0, PT, R13, R2, PT
@P0 BRA `(.L_x_1)
LDG.E.128 R8, desc[UR4][R2.64]
STG.E.128 desc[UR4][R2.64], R8
EXIT
.L_x_1:
LDG.E.U16 R8, desc[UR4][R2.64]
STG.E.U16 desc[UR4][R2.64], R8
@P1 BRA `(.L_x_1)
EXIT
.L_x_2:
BRA `(.L_x_2)
CODE
expect "a loop, without what stands before and after it" "1 2 1 0 4 0 0 0" <<'CODE'
LDG.E R1, desc[UR4][R2.64]
.L_x_1:
LDG.E.128 R8, desc[UR4][R2.64]
STG.E.U16 desc[UR4][R4.64], R8
STG.E desc[UR4][R4.64+0x4], R8
@!P0 BRA `(.L_x_1)
STG.E desc[UR4][R6.64], R8
EXIT
CODE
expect "tensor cores; a loop inside of theirs counts by itself" "0 0 0 1 3 1 1 1" <<'CODE'
.L_x_1:
HMMA.16816.F32.BF16 R4, R8, R12, R4
.L_x_2:
FCHK P0, R7, R8
CALL.REL.NOINC `($__internal_0_$__cuda_sm3x_div_rn_noftz_f32_slowpath)
@P2 BRA `(.L_x_2)
LDL R1, [R1+0x8]
@P1 BRA `(.L_x_1)
EXIT
CODE
expect "a division outside of loops" "0 0 0 0 0 0 0 0" <<'CODE'
I2F.U32.RP R4, UR8
CALL.REL.NOINC `($__internal_0_$__cuda_sm20_div_u64)
EXIT
CODE
expect "a jump written as a call" "1 0 0 0 3 0 0 0" <<'CODE'
.L_x_1:
LDG.E.128 R8, desc[UR4][R2.64]
@P0 CALL.REL.NOINC `(.L_x_2)
BRA `(.L_x_1)
.L_x_2:
EXIT
CODE
expect "no 16-byte access: what is in loops" "0 1 1 0 4 0 0 1" <<'CODE'
.L_x_1:
I2F.U32.RP R4, UR8
LDG.E.U8 R8, desc[UR4][R2.64]
BRA.DIV UR4, `(.L_x_2)
BRA P0, `(.L_x_1)
EXIT
.L_x_2:
LDG.E.U8 R8, desc[UR4][R2.64]
BRA `(.L_x_1)
CODE

check() { bash scripts/checks/machine_code_check.sh "${NVCC:-}" "${NVDISASM:-}" "${BUILD:-build/release}/cuda"; }
check || exit

# refuses WHAT SED-EXPRESSION MESSAGE: the table changed like that makes the check fail with that message. Nothing is compiled or read again.
refuses() {
    local output
    sed -E "$2" kernels/cuda/machine_code.txt >"$scratch/table"
    if output=$(DROPFORGE_MACHINE_CODE=$scratch/table check); then
        echo "$1: was not noticed"
        exit 1
    fi
    grep -qF "$3" <<<"$output" || { echo "$1: expected '$3', got: $output"; exit 1; }
}
release=$("$NVCC" --version | sed -n 's/.* release \([0-9.]*\),.*/\1/p')
refuses "a reason that is no more" '1s/^/exempt map_kernel division: of the past\n/' "FAILED: nothing needs it: exempt map_kernel"
refuses "a lost reason" '/^exempt partials_kernel/d' "FAILED: partials_kernel on sm_80 accesses nothing by 16 bytes"
if grep -qx "compiler nvcc $release" kernels/cuda/machine_code.txt; then
    kernel='map_kernel<bf16, 8, Tanh>'
    refuses "more instructions" "s/^($kernel \| 80 .*) [0-9.]+\$/\1 1.00/" "FAILED: $kernel on sm_80: "
    refuses "narrower accesses" 's/^(layernorm_forward_kernel<bf16, 8, 3> \| 90 \| [0-9]+) \| [0-9]+/\1 | 0/' "accesses of less than 16 bytes, of at most 0"
    refuses "a kernel without a line" "/^$kernel \| 80/d" "FAILED: $kernel on sm_80 has no line in "
    refuses "a line without a kernel" "s/^$kernel( \| 80.*)/&\nno_kernel\1/" "FAILED: no_kernel of "
fi
