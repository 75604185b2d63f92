# Sourced by ./dev: the fuzzers of tests/fuzz. Inputs that broke something are kept in build/fuzz/found, those that reached new code in
# build/fuzz/corpus: the next call begins with them.

# write_zstd TEXT: a zstd frame with the text as it is, less than 256 bytes of it (docs: RFC 8878). The machine may lack the command.
write_zstd() {
    local size=${#1} block
    block=$((size << 3 | 1))
    # shellcheck disable=SC2059  # the format is made here
    printf "\\x28\\xb5\\x2f\\xfd\\x20\\x$(printf %02x "$size")\\x$(printf %02x $((block & 255)))\\x$(printf %02x $((block >> 8)))\\x00%s" "$1"
}

# make_seeds FOLDER: small real files of every kind, by the programs that write them, in a folder for each fuzzer.
make_seeds() (
    set -euo pipefail
    seeds=$1 program=$PWD/build/release/bin/dropforge
    rm -rf "$seeds" && mkdir -p "$seeds"
    made=$(mktemp -d)
    trap 'rm -rf "$made"' EXIT
    # seed FUZZER FILE…
    seed() {
        local fuzzer=$seeds/$1
        mkdir -p "$fuzzer"
        shift
        cp --no-clobber "$@" "$fuzzer"
    }
    head -c 6000 README.md >"$made/text.md"
    head -c 3000 docs/algorithms.md >"$made/text.txt"
    "$program" prepare --quiet --threads 1 --text "$made/text.txt" --train-vocab 300 --out "$made/data" >/dev/null
    "$program" pretrain bert-tiny --quiet --device cpu --threads 1 --precision f32 --data "$made/data" --out "$made/run" --steps 1 --batch 1 --sequence 8 \
        --set model.hidden=2 --set model.layers=1 --set model.heads=1 --set model.max_positions=8 --set eval.every=0 >/dev/null
    checkpoint=$(echo "$made"/run/checkpoints/*)
    seed safetensors_fuzz "$checkpoint"/*.safetensors
    seed shard_fuzz "$made"/data/*.shard
    seed dataset_fuzz "$made/data/dataset.json"
    sed -i '/"checksum_of_all"/d' "$seeds/dataset_fuzz/dataset.json"
    seed manifest_fuzz "$checkpoint/manifest.json"
    sed -zE 's/.*"contents": (.*),\n "xxh64".*/\1/' "$checkpoint/manifest.json" >"$seeds/manifest_fuzz/contents.json"
    seed bert_config_fuzz "$checkpoint/config.json"
    cat >"$made/tokenizer.json" <<'JSON'
{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [{"id": 4, "content": "[MASK]", "normalized": false, "special": true},
 {"id": 9, "content": "zz9", "single_word": false, "lstrip": true, "rstrip": false, "normalized": true, "special": false}],
 "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
 "pre_tokenizer": {"type": "BertPreTokenizer"}, "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
 "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
 {"SpecialToken": {"id": "[SEP]", "type_id": 0}}], "pair": [], "special_tokens": {}},
 "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
 "vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "a": 5, "cafe": 6, "##s": 7, "漢": 8}}}
JSON
    seed tokenizer_json_fuzz "$made/tokenizer.json"
    echo '{"metadata": {"total_size": 24}, "weight_map": {"a": "1.safetensors", "b": "1.safetensors", "c": "2.safetensors"}}' >"$made/index.json"
    seed tensor_index_fuzz "$made/index.json"
    seed run_config_fuzz "$made/run/config.toml" configs/*.toml
    seed vocabulary_fuzz "$made/data/vocab.txt"
    seed tokenizer_fuzz "$made/text.txt" tests/golden/tokenizer/cases.jsonl
    # seed_task NUMBER EVALUATED PREDICTIONS: of the task with that place in all_tasks() (128 + place: in JSON lines), given in octal
    seed_task() {
        { printf "\\$1" && cat "tests/golden/finetune/$2" && printf '\0' && cat "tests/golden/finetune/$3"; } >"$made/task$1"
        seed task_files_fuzz "$made/task$1"
    }
    for name in 000/single 004/token 006/cola 011/stsb 020/cb_missing 023/multirc; do
        ending=$([ "${name#*/}" = token ] && echo conll || echo tsv)
        seed_task "${name%/*}" "score/${name#*/}.$ending" "score/${name#*/}_predictions.$ending"
    done
    seed_task 005 score/squad2.json score/squad2_predictions.json
    seed_task 221 copa/eval.jsonl score/copa_predictions.tsv
    seed text_txt_fuzz "$made/text.txt"
    seed text_md_fuzz "$made/text.md"
    cat >"$made/page.html" <<'HTML'
<!DOCTYPE html><html lang=en><head><title>A page</title><style>p > a { color: red }</style><script>if (a < b) run("</p>")</script></head>
<body><!-- a comment --><h1>Rivers &amp; hills</h1><p>One &lt; two, 5*3, caf&eacute; &#233; &#x1F600; <b>bold<i>both</b>italic</i>
<ul><li>first<li>second</ul><table><tr><td>a<td>b</table><pre>
  kept   as it is
</pre><p>unclosed <br/> <img alt="a picture" src='x.png'> <textarea>text</textarea></body></html>
HTML
    seed text_html_fuzz "$made/page.html"
    cp tests/golden/tokenizer/cases.jsonl "$made/text.jsonl"
    seed text_jsonl_fuzz "$made/text.jsonl"
    gzip -9n <"$made/text.txt" >"$made/text.txt.gz"
    seed text_txt_gz_fuzz "$made/text.txt.gz"
    # "A river, a hill.", for machines without bzip2 and xz
    base64 -d <<<QlpoOTFBWSZTWTjBjKsAAAKVgEAFIAAiZBEAIAAiAaGQgGmmiLsnMUEBIT4u5IpwoSBxgxlW >"$made/text.txt.bz2"
    base64 -d <<</Td6WFoAAAFpIt42AgAhARwAAAAQz1jMAQAPQSByaXZlciwgYSBoaWxsLgCWMKZyAAEkEOlE2cyQQpkNAQAAAAABWVo= >"$made/text.txt.xz"
    seed text_txt_bz2_fuzz "$made/text.txt.bz2"
    seed text_txt_xz_fuzz "$made/text.txt.xz"
    write_zstd "A river, a hill." >"$made/text.txt.zst"
    seed text_txt_zst_fuzz "$made/text.txt.zst"
)

# fuzz_one PROGRAM SECONDS: prints a line; fails if an input breaks something.
# A zstd frame may ask for a window of 2 GiB, which is allocated, not touched.
fuzz_one() {
    local name status=0 log
    name=$(basename "$1")
    log=build/fuzz/$name.log
    mkdir -p "build/fuzz/corpus/$name" "build/fuzz/seeds/$name" build/fuzz/found
    TMPDIR=$fuzz_folder "$1" -max_total_time="$2" -max_len=65536 -timeout=20 -rss_limit_mb=2048 -malloc_limit_mb=3072 -print_final_stats=1 -verbosity=0 \
        -artifact_prefix="build/fuzz/found/$name-" "build/fuzz/corpus/$name" "build/fuzz/seeds/$name" >"$log" 2>&1 || status=1
    printf '%s: %s inputs, %s\n' "$name" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
        "$([ $status = 0 ] && echo "nothing found" || echo "FAILED, $(sed -n 's/^Test unit written to //p' "$log" | tail -n 1) (full log: $log)")"
    return $status
}

# fuzz [SECONDS]: each for so long (20), as many at once as there are cores. The last line is `N passed, N failed`.
fuzz() {
    local seconds=${1:-20} programs failed
    [[ $seconds =~ ^[1-9][0-9]*$ ]] || die "fuzz takes a number of seconds, not '$seconds'"
    build release dropforge
    build fuzz fuzzers
    make_seeds "$PWD/build/fuzz/seeds" || die "the programs did not make the seeds"
    fuzz_folder=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")")
    export fuzz_folder
    export -f fuzz_one
    programs=(build/fuzz/bin/*_fuzz)
    printf '%s\n' "${programs[@]}" | xargs -P "$(scripts/setup/cores.sh)" -I{} bash -c "fuzz_one {} $seconds" | tee build/fuzz/result.log || true
    rm -rf "$fuzz_folder"
    failed=$(grep -c FAILED build/fuzz/result.log || true)
    echo "$((${#programs[@]} - failed)) passed, $failed failed"
    [ "$failed" = 0 ]
}
