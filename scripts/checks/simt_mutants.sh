#!/usr/bin/env bash
# Defects that the checks of CUDA kernels must catch: simt_mutants.sh BUILD [REGEX]
# Each is put into a copy of one kernel file, which alone is compiled again and linked into the program whose check must fail: those of
# simt_mutants.txt, and each barrier deleted (which the race detector must see). REGEX: only defects whose line matches.
# Prints and leaves in BUILD/mutants.tsv what caught each; fails if one survives, changes nothing, or does not compile.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
build=$(cd "$1" && pwd) only=${2:-.}
kernels=kernels/cuda root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# defects: lines "check | file | what | expression".
defects() {
    grep -v '^#' scripts/checks/simt_mutants.txt
    local file number barriers
    for file in "$kernels"/*/*.cu "$kernels"/*/*.cuh; do
        barriers=$({ grep -oE '__sync(threads|warp)\(\);' "$file" || true; } | wc -l)
        for ((number = 1; number <= barriers; ++number)); do
            echo "race | ${file##*/} | barrier $number is missing | file s/__sync(threads|warp)\\(\\);//$number"
        done
    done
}

# path_of FILE: where it is below the tree; names are unique over the folders of kernels/cuda.
path_of() { (cd "$root" && echo "$kernels"/*/"$1"); }

# unit_of FILE: the kernel file to compile where FILE is a header.
unit_of() {
    case $1 in
        *.cu) echo "${1%.cu}" ;;
        attention.cuh) echo attention_backward ;;
        column_sums.cuh) echo column_sums ;;
        device.cuh) echo losses ;;
        dropout.cuh | layernorm.cuh) echo layernorm ;;
        *) echo "$1: which kernel file has it?" >&2; return 1 ;;
    esac
}

# cases_of CHECK UNIT: the test cases, as doctest's filter.
cases_of() {
    case $1:$2 in
        traffic:pointwise) echo '*budget: gelu*' ;;
        traffic:column_sums) echo '*budget: column sums' ;;
        traffic:*) echo "*budget: $2" ;;
        *:attention_forward) echo 'attention: forward' ;;
        *:attention_backward) echo 'attention: backward' ;;
        *:attention_plain) echo 'attention: *ward' ;;
        *:attention_*) echo "a library*,*check's*,the seed*" ;;
        *:column_sums) echo 'column_sum*,layernorm: backward' ;;
        *:embedding* | *:sort_rows) echo 'embedding*' ;;
        *:gemm_small) echo 'gemm*' ;;
        *:layernorm) echo 'layernorm: *ward' ;;
        *:losses) echo 'cross_entropy*,squared_error*,span_loss*,loss_totals*' ;;
        *:optimizer) echo 'global_norm*,adamw*,loss_scale*' ;;
        *:pointwise) echo 'gelu*,tanh*,dropout: rows*' ;;
        *:rows) echo '*_rows*,cast*,add' ;;
        *:semantic_consistency) echo 'pool*,kl_*' ;;
        *:token_dropping) echo 'token_values*,top_k*,importance*' ;;
        *) echo "$2: which tests run its kernels?" >&2; return 1 ;;
    esac
}

# mutate EXPRESSION FROM TO: by a sed expression for its lines or, after the word `file`, for the file as one. False if nothing changes.
mutate() {
    case $1 in
        file\ *) sed -zE "${1#file }" "$2" >"$3" ;;
        *) sed -E "$1" "$2" >"$3" ;;
    esac
    ! cmp -s "$2" "$3"
}

# make_program PROGRAM UNIT FOLDER: FOLDER/program from the kernel file UNIT as it is below FOLDER, or else in the tree, and its headers alike.
# The commands are the build's own.
make_program() {
    local program=$1 unit=$2 folder=$3 object=tests/simt_checks/seen/$2.o source compile link
    source=$(path_of "$unit.cu")
    compile=$(ninja -C "$build" -t commands "$object" | tail -n 1)
    compile=${compile//"$build/$object"/$folder/mutant.o}
    compile=${compile//-I"$root" /-I$folder -I$root }
    if [ -e "$folder/$source" ]; then compile=${compile//"$root/$source"/$folder/$source}; fi
    (cd "$build" && eval "$compile") || return 1
    link=$(ninja -C "$build" -t commands "$program" | tail -n 1)
    link=${link/ tests\/simt_checks\/seen\// $folder/mutant.o tests/simt_checks/seen/}
    link=${link/ $object / }
    (cd "$build" && eval "${link/-o bin\/$program/-o $folder/program}")
}

# caught_by LOG: the first thing that the failed program says.
caught_by() {
    grep -aoE '^ *(values: CHECK\( )?(race on [^:]*|(read|atomic access) of .*, which nothing was written to)' "$1" | head -n 1 | sed -E 's/.*CHECK\( //' |
        grep . || sed -nE 's/^TEST CASE: +/test case /p' "$1" | head -n 1 | grep . || echo "the program ends"
}

# try_defect LINE: prints "outcome <tab> check <tab> file: what <tab> caught by".
try_defect() {
    local check file what expression path unit folder program result options=() status=0
    IFS='|' read -r check file what expression <<<"$1"
    check=${check// /} file=${file// /} what=${what# } what=${what% } expression=${expression# }
    folder=$(mktemp -d -p "$work")
    path=$(path_of "$file")
    mkdir -p "$folder/${path%/*}"
    unit=$(unit_of "$file")
    program=simt_race_test
    if [ "$check" = traffic ]; then program=simt_traffic_test; fi
    if [ "$check" = values ]; then options=(--values); fi
    if ! mutate "$expression" "$path" "$folder/$path"; then
        result="changes nothing"
    elif ! make_program $program "$unit" "$folder" >"$folder/log" 2>&1; then
        result="does not compile"
    else
        # The shell's own words about a program that crashes go nowhere.
        { OMP_NUM_THREADS=1 timeout 300 "$folder/program" "${options[@]}" -tc="$(cases_of "$check" "$unit")" -aa=1 >"$folder/log" 2>&1 || status=$?; } 2>/dev/null
        if [ $status = 0 ]; then result=SURVIVES; else result=caught; fi
    fi
    printf '%s\t%s\t%s: %s\t%s\n' "$result" "$check" "$file" "$what" "$([ "$result" != caught ] || caught_by "$folder/log")"
    rm -rf "$folder"
}

export build work kernels root
export -f path_of unit_of cases_of mutate make_program caught_by try_defect
start=$SECONDS
defects | grep -E -- "$only" | tr '\n' '\0' | xargs -0 -P "$(scripts/setup/cores.sh)" -I{} bash -c 'try_defect "$1"' try {} | tee "$build/mutants.tsv"
LC_ALL=C sort -o "$build/mutants.tsv" "$build/mutants.tsv"
all=$(wc -l <"$build/mutants.tsv") caught=$(grep -c '^caught' "$build/mutants.tsv" || true)
echo "$caught of $all defects caught in $((SECONDS - start)) s"
[ "$caught" = "$all" ] && [ "$all" -gt 0 ]
