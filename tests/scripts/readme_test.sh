#!/usr/bin/env bash
# Runs every command that README.md shows (its ```sh blocks), as a reader would type it, on this repository's own prose and for a few steps.
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

# A folder that looks like the checkout, whose relative paths end up here.
ln -s "$repository/build" build
ln -s "$repository/configs" configs
printf '#!/bin/sh\nexec "%s/dev" "$@"\n' "$repository" >dev
chmod +x dev
# Several times, so that the hundredth that is held back for validation is enough for a sequence, whatever the pages say.
for copy in 1 2 3 4 5 6 7 8; do
    mkdir -p my-texts/$copy
    cp "$repository"/{README,CONTRIBUTING}.md "$repository"/docs/*.md my-texts/$copy/
    cp "$repository/LICENSE" my-texts/$copy/licence.txt
done
# A task, and a suite of that task alone, in the official form.
mkdir -p SST-2 glue_data
for part in train dev; do
    { printf 'sentence\tlabel\n'; printf 'a film to see twice\t1\nnot worth the time\t0\n%.0s' 1 2 3 4 5 6 7 8; } >SST-2/$part.tsv
done
ln -s ../SST-2 glue_data/SST-2
export DROPFORGE_TEXT=$scratch/my-texts DROPFORGE_CACHE=$scratch/cache DROPFORGE_RUNS=$scratch/runs DROPFORGE_VOCAB=1000

# The same command, short: few steps, a vocabulary that so little text can fill, one quick test.
shorten() {
    sed -E 's/--steps [0-9]+/--steps 3/; s/step-[0-9]+/step-00000003/; s/--batch [0-9]+/--batch 4/; s/--train-vocab [0-9]+/--train-vocab 1000/; s/--seeds [0-9]+/--seeds 2/; s#^\./dev pretrain$#& --steps 3 --batch 4#; s#^\./dev test$#& trace_test#' <<<"$1"
}

commands=0
while IFS= read -r command; do
    commands=$((commands + 1))
    short=$(shorten "$command")
    echo "== $short"
    bash -c "$short" </dev/null
done < <(awk '/^```/ { inside = $0 == "```sh"; next } inside' "$repository/README.md")
[ "$commands" -ge 6 ] || { echo "README.md shows $commands commands, at least 6 expected"; exit 1; }
