#!/usr/bin/env bash
# What `./dev lint` checks: formatting, the rules of the house, scripts in bash and Python, clang-tidy (of tests only what clang++ itself warns of).
# Prints a line a check; fails if any fails. lint.sh [CHECK…]: only those.
# clang-tidy's verdict on a file is kept in .cache/tidy until the file, a header, or the configuration changes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# A check runs as the condition of an `if`, where bash's -e has no effect: each step says itself what its failure means.
# list_files: sets `files` to those of the repository. Not when this file is sourced: that needs no git.
list_files() {
    local listed file
    listed=$(git ls-files --cached --others --exclude-standard) || return
    mapfile -t files < <(while read -r file; do if [ -f "$file" ]; then echo "$file"; fi; done <<<"$listed")
}

# 1 is grep's word for "nothing found"; more is an error.
nothing_is_fine() { "$@" || [ $? = 1 ]; }
select_files() { printf '%s\n' "${files[@]}" | nothing_is_fine grep -E "$1"; }

formatting() { select_files '\.(cpp|h|cu|cuh)$' | xargs clang-format --dry-run --Werror; }

# violation WHAT: prints the lines of stdin under that heading; false if there are any.
violation() {
    local lines
    lines=$(cat)
    [ -n "$lines" ] || return 0
    printf '%s:\n%s\n' "$1" "$lines"
    return 1
}

# search OPTIONS… PATTERN: greps the files on stdin.
search() {
    local names
    mapfile -t names < <(nothing_is_fine grep .)
    [ ${#names[@]} = 0 ] || nothing_is_fine grep "$@" -- "${names[@]}"
}

house_rules() {
    local status=0 text tab=$'\t'
    text=$(select_files '(\.(cpp|h|cu|cuh|md|toml|json|sh|py|txt)|^dev|^\.ci/run)$' | grep -v '^tests/golden/')
    search -nE "$tab| +\$" <<<"$text" | violation "tabs or trailing spaces" || status=1
    # The places where someone happens to work mean nothing to a reader.
    search -nE '(^|[^A-Za-z0-9_.$}/-])/(work|home|root|tmp|mnt)/[A-Za-z]' <<<"$text" | violation "a path of one machine" || status=1
    search -nwE '(TO''DO|FIX''ME|X''XX)' <<<"$text" | violation "unfinished" || status=1
    search -nE '^ *using namespace' <<<"$(grep -E '\.(h|cuh)$' <<<"$text")" | violation "using namespace in a header" || status=1
    search -L '^#pragma once' <<<"$(grep -E '\.(h|cuh)$' <<<"$text")" | violation "headers without #pragma once" || status=1
    nothing_is_fine grep -E '\.(cpp|h|cu|cuh)$' <<<"$text" | xargs python3 scripts/checks/statements.py | violation "comma or conditional expressions as statements" || status=1
    xargs wc -l <<<"$(grep -E '\.(cpp|h|cu|cuh|sh|py)$' <<<"$text")" | awk '$2 != "total" && $1 > 400' | violation "more than 400 lines" || status=1
    return $status
}

# What a script imports from elsewhere may not be there: then it has no types.
python_types() { mypy --strict --ignore-missing-imports --no-site-packages --no-error-summary --cache-dir=.cache/mypy "$@"; }

scripts() {
    local status=0 script bash_scripts python_scripts
    mapfile -t bash_scripts < <(select_files '(\.sh|^dev|^\.ci/run)$')
    for script in "${bash_scripts[@]}"; do bash -n "$script" || status=1; done
    shellcheck --shell=bash --severity=warning "${bash_scripts[@]}" || status=1
    mapfile -t python_scripts < <(select_files '\.py$')
    python_types "${python_scripts[@]}" || status=1
    return $status
}

rooms() { python3 scripts/checks/rooms.py; }
quotes() { python3 scripts/checks/quotes.py; }
figures() { python3 scripts/reports/tables.py; }

tidy_file() {
    local mark log status=0
    mark=.cache/tidy/$(cat "$1" - <<<"$TIDY_STATE" | sha1sum | cut -c1-40)
    [ ! -e "$mark" ] || return 0
    log=$mark.$$
    clang-tidy --quiet -p .cache/tidy "$1" >"$log" 2>&1 || status=$?
    if [ $status != 0 ] || grep -qE '(warning|error):' "$log"; then
        sed -E '/^[0-9]+ warnings? (generated|treated)|^Suppressed|^Use -header|^$/d' "$log"
        echo "$1: clang-tidy ended with status $status"
        rm "$log"
        return 1
    fi
    mv "$log" "$mark"
}

# built_here: those of the files on stdin that build/release compiles.
built_here() { grep -xFf <(sed -nE "s|^ *\"file\": \"$PWD/(.*)\",?\$|\1|p" build/release/compile_commands.json); }

tidy() {
    mkdir -p .cache/tidy || return
    # Also where it was configured before: clang-tidy reads compile_commands.json, which may be older than CMakeLists.txt.
    cmake --preset release || return
    # An option of g++ alone, for which clang-tidy would stop.
    sed 's/ -fno-gnu-unique//' build/release/compile_commands.json >.cache/tidy/compile_commands.json || return
    TIDY_STATE=$(select_files '(\.h|\.clang-tidy|CMakeLists\.txt|CMakePresets\.json)$' | xargs sha1sum && clang-tidy --version) || return
    export TIDY_STATE
    export -f tidy_file
    # What is built here: some tests need headers of CUDA. Those of cudnn-frontend take clang-tidy many minutes.
    select_files '^(apps|base|bench|data|devices|engine|export|kernels|model|report|scripts|tests)/.*\.cpp$' | grep -v /cudnn_graphs | built_here |
        xargs -P "$(scripts/setup/cores.sh)" -I{} bash -c 'tidy_file {}'
}

main() {
    local status=0 check start output all=(formatting house_rules rooms quotes figures scripts tidy)
    for check in "$@"; do
        [[ " ${all[*]} " == *" $check "* ]] || { echo "lint: there is no check $check, only ${all[*]}"; return 2; }
    done
    if [ $# = 0 ]; then set -- "${all[@]}"; fi
    list_files || { echo "lint: git cannot list the files"; return 1; }
    for check in "$@"; do
        start=$SECONDS
        if output=$($check 2>&1); then
            echo "lint: $check ok ($((SECONDS - start)) s)"
        else
            printf '%s\nlint: %s FAILED\n' "$(head -n 60 <<<"$output")" "$check"
            status=1
        fi
    done
    return $status
}

# Sourced, this file only gives its functions.
if [ "${BASH_SOURCE[0]}" = "$0" ]; then main "$@"; fi
