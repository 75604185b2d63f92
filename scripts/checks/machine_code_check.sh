#!/usr/bin/env bash
# Reads the machine code of every CUDA kernel: machine_code_check.sh NVCC NVDISASM FOLDER [--write]
# No kernel may use local memory, divide or call in a loop, or access global memory by 8 or 16 bits in its hot code, which must access it by 16 bytes
# or use tensor cores (scripts/checks/machine_code.py says what is hot). kernels/cuda/machine_code.txt has what is exempt and why, and how many
# instructions the hot code has: more than 3 % more fail, and so do more narrow accesses. --write rewrites the table.
# DROPFORGE_CUDA_ARCHITECTURES: a list, or all; default: 80 and 90, those of the table. FOLDER is shared with nvcc_check.sh. Exit code 77: no nvcc or
# nvdisasm.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

nvdisasm=${2:-}
if [ -z "$nvdisasm" ]; then
    echo "no nvdisasm here (./dev setup cuda installs it): skipped"
    exit 77
fi
DROPFORGE_CUDA_ARCHITECTURES=${DROPFORGE_CUDA_ARCHITECTURES:-80 90}
# shellcheck source=scripts/checks/nvcc_check.sh
. scripts/checks/nvcc_check.sh "$1" "${3:-build/cuda}"
write=${4:-}
table=${DROPFORGE_MACHINE_CODE:-kernels/cuda/machine_code.txt}
release=$("$nvcc" --version | sed -n 's/.* release \([0-9.]*\),.*/\1/p')

# read_code ARCHITECTURE: machine_code.py's lines. The listing is kept with the machine code.
read_code() {
    local cubin
    for cubin in "$folder/sm_$1"/*/*.cubin; do
        if [ ! -e "$cubin.tsv" ] || [ scripts/checks/machine_code.py -nt "$cubin.tsv" ]; then
            "$nvdisasm" -c "$cubin" | python3 scripts/checks/machine_code.py "$1" >"$cubin.part"
            mv "$cubin.part" "$cubin.tsv"
        fi
        cat "$cubin.tsv"
    done
}

# Adds the instructions for each unit of work: a tensor-core instruction, or an element that a 16-byte access moves.
add_cost() {
    awk -F'\t' -v OFS='\t' '{
        units = $6 ? $6 : $3 * ($2 ~ /bf16|fp16/ ? 8 : 4)
        print $0, sprintf("%.2f", units ? $7 / units : $7)
    }'
}

compare() {
    awk -F'\t' -v table="$table" -v release="$release" '
        function fail(text) { print "FAILED: " text; failed = 1 }
        # Kernels for odd widths and borders: their first number, the elements of an access, is 1; or they copy single elements.
        function one_at_a_time(kernel) { return kernel ~ /<([a-z][A-Za-z0-9 ]*, )*1[,>]/ || kernel ~ /<unsigned (int|short)>/ }
        function exempt(kernel, rule) { sub(/<.*/, "", kernel); used[kernel, rule] = 1; return (kernel, rule) in reason }
        BEGIN {
            while ((getline line < table) > 0) {
                if (line ~ /^compiler /) same_compiler = line == "compiler nvcc " release
                if (line ~ /^exempt /) { split(line, v, /:? /); reason[v[2], v[3]] = line }
                if (split(line, v, / *\| */) == 6 && line !~ /^#/) { narrow[v[1], v[2]] = v[4]; cost[v[1], v[2]] = v[6]; covered[v[2]] = 1 }
            }
        }
        {
            where = $2 " on sm_" $1
            single = one_at_a_time($2)
            if ($8) fail(where " uses local memory: " $8 " instructions")
            if ($9 + $10 > 0 && !exempt($2, "division")) fail(where " has " $10 " divisions and " $9 " calls in loops")
            if (!single && $5 && !exempt($2, "narrow")) fail(where " accesses global memory by 8 or 16 bits: " $5 " instructions")
            if (!single && $3 + $6 == 0 && !exempt($2, "narrow")) fail(where " accesses nothing by 16 bytes")
            seen[$2, $1] = 1
            archs[$1] = 1
            ++kernels
            if (!same_compiler || !covered[$1]) next
            if (!(($2, $1) in cost)) { fail(where " has no line in " table); next }
            if ($4 > narrow[$2, $1]) fail(where ": " $4 " accesses of less than 16 bytes, of at most " narrow[$2, $1])
            if ($11 > 1.03 * cost[$2, $1]) fail(where ": " $11 " instructions for each element, more than 3 % above " cost[$2, $1])
        }
        END {
            for (k in cost) { split(k, v, SUBSEP); if (same_compiler && v[2] in archs && !(k in seen)) fail(v[1] " of " table " does not exist") }
            for (k in reason) if (!(k in used)) fail("nothing needs it: " reason[k])
            if (!kernels) fail("no kernel found")
            if (!failed) printf "the machine code of %d kernels is as it should be%s\n", kernels, same_compiler ? "" : "; not compared with the table, which is not of nvcc " release
            exit failed
        }' "$1"
}

write_table() {
    {
        cat <<'TEXT'
# What scripts/checks/machine_code_check.sh allows. Some kernels are exempt from a rule (narrow: 16-byte accesses only; division: none in loops):
TEXT
        grep '^exempt ' "$table" || true
        cat <<TEXT

# The hot code of each kernel: accesses of global memory of 16 bytes and of less, instructions, and instructions for each element that a 16-byte
# access moves (of kernels with tensor cores, for each of their instructions). \`scripts/checks/machine_code_check.sh NVCC NVDISASM FOLDER --write\`
# rewrites the table: a line that gets worse needs a reason.
compiler nvcc $release
# kernel | sm | 16 bytes | less | instructions | for each element
TEXT
        awk -F'\t' '{ printf "%s | %d | %d | %d | %d | %s\n", $2, $1, $3, $4, $7, $11 }' "$1"
    } >"$table.part"
    mv "$table.part" "$table"
}

compile_all
for architecture in $architectures; do read_code "$architecture"; done | readable | add_cost | LC_ALL=C sort -t "$(printf '\t')" -k2,2 -k1,1n >"$folder/machine_code"
if [ -n "$write" ]; then write_table "$folder/machine_code"; fi
compare "$folder/machine_code"
