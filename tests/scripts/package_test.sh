#!/usr/bin/env bash
# What `cmake --install` installs, and the wheel that is packed from it: the programs go the whole way from there, man pages and completions know
# what they offer, and nothing else is in it. BUILD is the build folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
build=${BUILD:-build/release}
# shellcheck source=tests/support/expectations.sh
. tests/support/expectations.sh
share=$scratch/usr/share

# go_the_whole_way BIN: with the programs there, from a working folder of its own.
go_the_whole_way() {
    local folder
    folder=$(mktemp -d -p "$scratch")
    (cd "$folder" && PATH=$1:$PATH sh "$OLDPWD/scripts/package/try_programs.sh" "$OLDPWD/docs") >"$scratch/log" 2>&1 || tail -n 20 "$scratch/log"
    expect "the way of $1" "4 $1/dropforge $1/dropforge-bench" \
        "$(grep -cE '^(checkpoint: runs/tiny|MLM accuracy|    .* %  |checkpoint: runs/demo)' "$scratch/log") $(head -n 2 "$scratch/log" | tr '\n' ' ' | sed 's/ $//')"
}

installation() {
    expect "installed" "bin share" "$(ls "$scratch/usr" | tr '\n' ' ' | sed 's/ $//')"
    expect "programs" "dropforge dropforge-bench" "$(ls "$scratch/usr/bin" | tr '\n' ' ' | sed 's/ $//')"
    expect "configs" "$(ls configs)" "$(ls "$share/dropforge/configs")"
    expect "licence" "" "$(diff LICENSE "$share/doc/dropforge/copyright")"
    expect "its own name" "Usage: dropforge-bench step [OPTIONS]" "$("$scratch/usr/bin/dropforge-bench" step --help | grep '^Usage')"
    go_the_whole_way "$scratch/usr/bin"
}

# A page for each program and subcommand, which has all of its options.
man_pages() {
    local program sub page option options=0
    for program in dropforge dropforge-bench; do
        for sub in '' $("$scratch/usr/bin/$program" --help | awk '/^$/ { found = 0 } found { print $1 } /^Subcommands:/ { found = 1 }'); do
            page=$(zcat "$share/man/man1/$program${sub:+-$sub}.1.gz" | sed 's/\\//g')
            # shellcheck disable=SC2086  # no subcommand, no word
            for option in $("$scratch/usr/bin/$program" $sub --help | grep -oE '^ +(-h,)?--[a-z0-9-]+' | sed 's/.*--/--/'); do
                expect "$program $sub $option" found "$(grep -qE "^fB(-h, )?$option(fR|\$)" <<<"$page" && echo found)"
                options=$((options + 1))
            done
        done
    done
    expect "options, at least 100" yes "$([ $options -ge 100 ] && echo yes)"
    expect "a group" ".SS Vocabulary .TP fB--vocabfR fIFILE Excludes: --train-vocabfR" \
        "$(zcat "$share/man/man1/dropforge-prepare.1.gz" | sed 's/\\//g' | grep -A 2 '^.SS Vocabulary' | tr '\n' ' ' | sed 's/ $//')"
    expect "a description" ".SH DESCRIPTION Reads a data folder and" \
        "$(zcat "$share/man/man1/dropforge-pretrain.1.gz" | grep -A 1 '^.SH DESCRIPTION' | tr '\n' ' ' | grep -o '.*folder and')"
    expect "examples" "dropforge prepare --text books/ --out data --train-vocab 8000" \
        "$(zcat "$share/man/man1/dropforge-prepare.1.gz" | sed 's/\\//g' | grep -o 'dropforge prepare --text books.*')"
}

# complete WORD…: what bash offers for the last of them.
complete_words() {
    bash -c '. "$0" && COMP_WORDS=("$@") && COMP_CWORD=$(($# - 1)) && _dropforge && echo "${COMPREPLY[*]}"' \
        "$share/bash-completion/completions/dropforge" "$@"
}

completions() {
    expect "subcommands" "predict prepare pretrain" "$(complete_words dropforge pr | tr ' ' '\n' | sort | tr '\n' ' ' | sed 's/ $//')"
    expect "options" "--documents" "$(complete_words dropforge prepare --doc)"
    expect "options of a group" "--train-vocab" "$(complete_words dropforge prepare --train)"
    expect "values" "blank-line" "$(complete_words dropforge prepare --documents b)"
    expect "files are left to bash" "" "$(complete_words dropforge prepare --text --)"
    expect "zsh" "#compdef dropforge" "$(head -n 1 "$share/zsh/vendor-completions/_dropforge")"
    expect "fish" 1 "$(grep -c "__fish_seen_subcommand_from prepare' -l documents -x -a 'blank-line file' " "$share/fish/vendor_completions.d/dropforge.fish")"
}

wheel() {
    local file
    python3 -m pip --version >/dev/null 2>&1 || { echo "no pip here: the wheel is not tested"; return; }
    file=$(python3 scripts/package/make_wheel.py "$scratch/usr" "$scratch" scripts/setup/cuda-wheels.txt 2>/dev/null)
    expect "its name" "yes" "$([[ $(basename "$file") =~ ^dropforge-[0-9.]+-py3-none-(many)?linux_[0-9a-z_]+\.whl$ ]] && echo yes)"
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-index --target "$scratch/environment" "$file"
    expect "its configs" "$(ls configs)" "$(ls "$scratch/environment/share/dropforge/configs")"
    go_the_whole_way "$scratch/environment/bin"
}

cmake --install "$build" --prefix "$scratch/usr" --strip >"$scratch/log" || { cat "$scratch/log"; exit 1; }
installation
man_pages
completions
wheel
as_expected
