# The demo behind `./dev pretrain`, read by ./dev: English text from Debian's own packages, a vocabulary, a small BERT, and a look at
# what it learnt. Fetched text stays in .cache/, which git ignores. DROPFORGE_TEXT=FOLDER takes text of your own instead, and
# DROPFORGE_VOCAB=N a vocabulary of another size; DROPFORGE_CACHE and DROPFORGE_RUNS say where text and data, and runs, go.

demo_cache=${DROPFORGE_CACHE:-.cache}
demo_runs=${DROPFORGE_RUNS:-runs}

# The parts of the demo so far, "NAME SECONDS" each, and the one that runs.
phases=()
phase_name='' phase_start=0

# phase NAME: ends the part that runs, and begins the next.
phase() {
    end_phase
    phase_name=$1 phase_start=$SECONDS
}

end_phase() {
    if [ -n "$phase_name" ]; then phases+=("$phase_name $((SECONDS - phase_start))"); fi
    phase_name=''
}

# minutes SECONDS: as 4:07.
minutes() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

# Ends the last part, and says how long each took.
report_phases() {
    local part total=0
    end_phase
    say "How long each part took (minutes:seconds):"
    for part in "${phases[@]}"; do
        say "$(printf '  %-12s %6s' "${part% *}" "$(minutes "${part##* }")")"
        total=$((total + ${part##* }))
    done
    say "$(printf '  %-12s %6s' "in all" "$(minutes $total)")"
}

# fetch PACKAGE: downloads it without installing it, and unpacks it to .cache/packages/PACKAGE. Prints that folder.
fetch() {
    local folder=$demo_cache/packages/$1
    if [ ! -d "$folder" ]; then
        rm -rf "$folder.part"
        mkdir -p "$folder.part"
        download "$1" "$folder.part" || { say "could not fetch $1"; return 1; }
        dpkg-deb -x "$folder.part"/*.deb "$folder.part"
        rm "$folder.part"/*.deb
        mv "$folder.part" "$folder"
    fi
    printf '%s\n' "$folder"
}

# download PACKAGE FOLDER: with the package lists as they are, else with fresh ones (an old list names files that are gone).
download() {
    local options=(-qq -o Acquire::Retries=3)
    if [ "$(id -u)" = 0 ]; then options+=(-o APT::Sandbox::User=root); fi
    (cd "$2" && apt-get "${options[@]}" download "$1" >&2 2>/dev/null) && return
    apt_as_root update && (cd "$2" && apt-get "${options[@]}" download "$1" >&2)
}

# Each of these fills the folder $1 from a package.
novels() {
    local package
    package=$(fetch r-cran-janeaustenr) || return
    build/release/bin/demo_text novels "$1" "$package/usr/lib/R/site-library/janeaustenr/data"
}

perl_manual() {
    local package
    package=$(fetch perl-doc) || return
    find "$package" -name '*.pod' -print0 | sort -z | xargs -0 build/release/bin/demo_text pod "$1"
}

postgresql_manual() {
    local package version
    version=$(apt-cache depends postgresql-doc 2>/dev/null | sed -n 's/^ *Depends: *\(postgresql-doc-[0-9]*\)$/\1/p')
    package=$(fetch "${version:-postgresql-doc-15}") || return
    find "$package" -name '*.html' ! -name '*index.html' -exec cp -t "$1" {} +
}

# Makes .cache/text with one folder a source; a source that cannot be had is named and left out.
gather_text() {
    local source folder bytes found=0
    for source in novels perl_manual postgresql_manual; do
        folder=$demo_cache/text/$source
        if [ ! -d "$folder" ]; then
            rm -rf "$folder.part"
            mkdir -p "$folder.part"
            if ! "$source" "$folder.part"; then
                rm -rf "$folder.part"
                say "text: no $source this time; going on without"
                continue
            fi
            mv "$folder.part" "$folder"
        fi
        bytes=$(cat "$folder"/* | wc -c)
        say "text: $source, $(find "$folder" -type f | wc -l) files, $(awk "BEGIN { printf \"%.1f\", $bytes / 1e6 }") MB"
        found=$((found + 1))
    done
    [ "$found" -gt 0 ] || die "no text could be fetched (is there a network?); DROPFORGE_TEXT=FOLDER ./dev pretrain takes your own"
}

# prepare_data TEXT: prints the folder of the data set, one for each state of the text; `prepare` does nothing if it is complete.
prepare_data() {
    local state data
    state=$(find -L "$1" -type f -printf '%P %s %T@\n' | sort | cksum | tr ' ' '-')
    data=$demo_cache/data-$state
    build/release/bin/dropforge prepare --text "$1" --train-vocab "${DROPFORGE_VOCAB:-4096}" --out "$data" >&2 || return
    printf '%s\n' "$data"
}

# The first of runs/demo, runs/demo-2, … that is not there yet.
free_run_folder() {
    local run=$demo_runs/demo n=2
    while [ -e "$run" ]; do
        run=$demo_runs/demo-$n
        n=$((n + 1))
    done
    printf '%s\n' "$run"
}

# savings CONFIG: what the run's method saves against dense training, measured: steps of both in turn.
savings() {
    if grep -q '^method = "dense"' "$1"; then return; fi
    say "measuring the savings: steps of each kind, alternating with dense ones"
    build/release/bin/bench step --model "$1" --against-dense --steps 20
}

demo() {
    local text=${DROPFORGE_TEXT:-$demo_cache/text} data run
    phase text
    if [ -z "${DROPFORGE_TEXT:-}" ]; then gather_text; fi
    phase vocabulary
    data=$(prepare_data "$text") || exit
    run=$(free_run_folder)
    mkdir -p "$demo_runs"
    phase training
    say "pretraining into $run (Ctrl-C stops it with a checkpoint)"
    build/release/bin/dropforge pretrain configs/demo.toml --data "$data" --out "$run" "$@"
    phase evaluation
    local model sequence
    model=$(find "$run/checkpoints" -mindepth 1 -maxdepth 1 -name 'step-*' | sort | tail -n 1)
    sequence=$(sed -n 's/^sequence = \([0-9]*\).*/\1/p' "$run/config.toml")
    build/release/bin/dropforge evaluate --model "$model" --data "$data" --sequence "$sequence"
    build/release/bin/dropforge fill --model "$model" "She was very [MASK] to see him." "It is a truth universally [MASK]." \
        "The query returns one [MASK] for each group." "This [MASK] takes two arguments."
    phase savings
    savings "$run/config.toml"
    cat >&2 <<TEXT

What next:
  Hugging Face opens the model as it is:  AutoModelForMaskedLM.from_pretrained("$model")
  ask it more:          build/release/bin/dropforge fill --model $model "Your [MASK] here."
  how the loss fell:    build/release/bin/dropforge curve $run
  train it for longer:  ./dev pretrain --steps 60000
  the other methods:    ./dev pretrain --method dense, ./dev pretrain --method token_dropping
  use your own text:    DROPFORGE_TEXT=FOLDER ./dev pretrain

TEXT
    report_phases
}
