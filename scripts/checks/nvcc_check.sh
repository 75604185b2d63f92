#!/usr/bin/env bash
# Compiles every CUDA kernel for GPUs and holds it to its budget: nvcc_check.sh NVCC FOLDER [--write]
# A kernel may use no local memory, no more registers and shared memory than kernels/cuda/budget.txt says, and must reach the occupancy named
# there on every architecture. FOLDER gets kernels.tsv: a line for each kernel and architecture. --write makes the budget from what is measured.
# DROPFORGE_CUDA_ARCHITECTURES: a list ("80 90"), or all; default: one of each kind. Exit code 77: no nvcc.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

nvcc=${1:-} folder=${2:-build/cuda} write=${3:-}
if [ -z "$nvcc" ]; then
    echo "no nvcc here: skipped"
    exit 77
fi
all_architectures="75 80 86 89 90 100 120"
architectures=${DROPFORGE_CUDA_ARCHITECTURES:-75 80 90 120}
if [ "$architectures" = all ] || [ -n "$write" ]; then architectures=$all_architectures; fi
budget=${DROPFORGE_CUDA_BUDGET:-kernels/cuda/budget.txt}

# What is compiled stays until its source, a header, the compiler or this script changes.
headers=$(cat base/*.h kernels/*.h kernels/cuda/*.h kernels/cuda/*/*.cuh kernels/cuda/*/*.h scripts/checks/nvcc_check.sh | cat - <("$nvcc" --version) | sha1sum)

# compile ARCHITECTURE SOURCE: the log of the assembler, the PTX and the machine code go to FOLDER/sm_ARCHITECTURE.
compile() {
    local architecture=$1 source=$2 name out state
    name=$(basename "$source" .cu)
    state=$(cat "$source" - <<<"$headers" | sha1sum | cut -c1-40)
    out=$folder/sm_$architecture/$name
    if [ -e "$out/$state" ]; then return; fi
    rm -rf "$out"
    mkdir -p "$out"
    "$nvcc" -c -std=c++20 -O3 -arch="sm_$architecture" --expt-relaxed-constexpr -fmad=false -Werror all-warnings \
        -Xptxas -v,--warn-on-spills,-Werror -Xcompiler -Wall,-Wextra -I. --keep --keep-dir "$out" -o "$out/$name.o" "$source" \
        >"$out/log" 2>&1 || { grep -vE "^ptxas info|bytes stack frame" "$out/log" >&2; echo "$source does not compile for sm_$architecture" >&2; return 1; }
    find "$out" -type f ! -name log ! -name '*.ptx' ! -name '*.cubin' -delete
    touch "$out/$state"
}

# The name that people use: no namespace, no parameters, short types.
readable() { c++filt | sed -E 's/dropforge::kernels::on_cuda:://g; s/\tvoid /\t/; s/\([^\t]*\)//; s/__nv_bfloat16/bf16/g; s/__half/fp16/g'; }

# kernel ARCHITECTURE: its registers, shared memory, stack, spills, and the threads of a block (from .maxntid).
measure() {
    local log architecture
    for log in "$folder"/sm_*/*/log; do
        architecture=${log#"$folder"/sm_}
        architecture=${architecture%%/*}
        case " $architectures " in *" $architecture "*) ;; *) continue ;; esac
        awk -v arch="$architecture" '
            FILENAME ~ /\.ptx$/ && / \.entry / { match($0, /_Z[A-Za-z0-9_]+/); entry = substr($0, RSTART, RLENGTH) }
            FILENAME ~ /\.ptx$/ && /^\.maxntid/ { gsub(",", ""); threads[entry] = $2 * ($3 ? $3 : 1) * ($4 ? $4 : 1) }
            /Compiling entry function/ { split($0, part, "\047"); kernel = part[2] }
            / bytes stack frame/ { stack = $1; spills = $5 + $9 }
            /: Used [0-9]+ registers/ {
                shared = 0
                if (match($0, /[0-9]+ bytes smem/)) shared = substr($0, RSTART, RLENGTH) + 0
                match($0, /Used [0-9]+/)
                printf "%s\t%s\t%d\t%d\t%d\t%d\t%d\n", arch, kernel, substr($0, RSTART + 5, RLENGTH - 5), shared, stack, spills, threads[kernel]
            }' "${log%/log}"/*.ptx "$log"
    done | readable
}

# Adds the share of an SM's threads that are resident. Limits: CUDA Programming Guide, "Compute Capabilities".
occupancy() {
    awk -F'\t' -v OFS='\t' '
        BEGIN {
            split("75 1024 16 65536 0;80 2048 32 167936 1024;86 1536 16 102400 1024;89 1536 24 102400 1024;90 2048 32 233472 1024;" \
                  "100 2048 32 233472 1024;120 1536 24 102400 1024", lines, ";")
            for (i in lines) {
                split(lines[i], v, " ")
                max_threads[v[1]] = v[2]; max_blocks[v[1]] = v[3]; max_shared[v[1]] = v[4]; reserved[v[1]] = v[5]
            }
        }
        function least(a, b) { return a < b ? a : b }
        {
            percent = 0
            if ($7 > 0) {
                warps = int(($7 + 31) / 32)
                per_warp = int(($3 * 32 + 255) / 256) * 256      # registers come in units of 256
                by_registers = int(int(16384 / per_warp) * 4 / warps)  # four partitions of 16384
                blocks = least(max_blocks[$1], int(max_threads[$1] / (warps * 32)))
                blocks = least(blocks, by_registers)
                shared = int(($4 + reserved[$1] + 127) / 128) * 128
                if (shared > 0) blocks = least(blocks, int(max_shared[$1] / shared))
                percent = int(100 * blocks * warps * 32 / max_threads[$1])
            }
            print $0, percent
        }'
}

check() {
    awk -F'\t' -v budget="$budget" '
        function fail(text) { print "FAILED: " text; failed = 1 }
        BEGIN {
            while ((getline line < budget) > 0) {
                if (line ~ /^#/ || line == "") continue
                if (split(line, v, / *\| */) != 4) fail(budget ": four columns expected: " line)
                registers[v[1]] = v[2]; shared[v[1]] = v[3]; occupancy[v[1]] = v[4]
            }
        }
        {
            where = $2 " on sm_" $1
            seen[$2] = 1
            if ($5 + $6 > 0) fail(where " uses local memory: stack " $5 ", spills " $6 " bytes")
            if (!($7 > 0)) fail(where " has no __launch_bounds__")
            if (!($2 in registers)) { fail(where " has no line in " budget); next }
            if ($3 + 0 > registers[$2] + 0) fail(where ": " $3 " registers, of at most " registers[$2])
            if ($4 + 0 > shared[$2] + 0) fail(where ": " $4 " bytes of shared memory, of at most " shared[$2])
            if ($8 + 0 < occupancy[$2] + 0) fail(where ": occupancy " $8 " %, of at least " occupancy[$2])
        }
        END {
            for (k in registers) if (!(k in seen)) fail(k " of " budget " does not exist")
            for (k in seen) ++kernels
            if (!kernels) fail("no kernel found")
            exit failed
        }' "$1"
}

write_budget() {
    {
        cat <<'TEXT'
# What a kernel may cost, on every architecture that scripts/checks/nvcc_check.sh compiles for: registers a thread and bytes of static shared memory
# at most, occupancy (resident threads in % of an SM's) at least. `scripts/checks/nvcc_check.sh NVCC FOLDER --write` rewrites this file:
# a line that gets worse needs a reason.
# kernel | registers | shared memory | occupancy
TEXT
        awk -F'\t' '
            { if (!($2 in registers) || $3 > registers[$2]) registers[$2] = $3
              if (!($2 in shared) || $4 > shared[$2]) shared[$2] = $4
              if (!($2 in occupancy) || $8 < occupancy[$2]) occupancy[$2] = $8 }
            END { for (k in registers) printf "%s | %d | %d | %d\n", k, registers[k], shared[k], occupancy[k] }' "$1" | LC_ALL=C sort
    } >"$budget"
}

compile_all() {
    local architecture source
    export folder nvcc headers
    export -f compile
    for architecture in $architectures; do
        for source in kernels/cuda/*/*.cu; do printf '%s %s\n' "$architecture" "$source"; done
    done | xargs -P "$(scripts/setup/cores.sh)" -L 1 bash -c 'compile "$1" "$2"' compile
}

main() {
    local start=$SECONDS
    compile_all
    measure | occupancy | LC_ALL=C sort -t "$(printf '\t')" -k2,2 -k1,1n >"$folder/measured"
    {
        printf 'architecture\tkernel\tregisters\tshared\tstack\tspills\tthreads\toccupancy\n'
        cat "$folder/measured"
    } >"$folder/kernels.tsv"
    if [ -n "$write" ]; then write_budget "$folder/measured"; fi
    check "$folder/measured"
    awk -F'\t' -v list="$architectures" -v seconds=$((SECONDS - start)) '
        { kernels[$2] = 1; spills += $6; if ($3 > most) { most = $3; which = $2 " on sm_" $1 } }
        END { printf "%d kernels, for sm %s: spills %d, most registers %d (%s), %d s\n", length(kernels), list, spills, most, which, seconds }' "$folder/measured"
}

# Sourced, this file only gives its functions.
if [ "${BASH_SOURCE[0]}" = "$0" ]; then main; fi
