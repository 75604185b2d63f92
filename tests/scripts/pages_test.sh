#!/usr/bin/env bash
# What keeps pages true: quotes of code (scripts/checks/quotes.py) and tables of figures (scripts/reports/tables.py). Those of the repository are
# as they should be, and what is not is named.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tests/support/expectations.sh
. tests/support/expectations.sh
command -v python3 >/dev/null || { echo "no python3 here: skipped"; exit 77; }
repository=$PWD

# outcome COMMAND…: exit code and output.
outcome() {
    local output status=0
    output=$("$@" 2>&1) || status=$?
    echo "$status $output"
}
quotes() { outcome python3 "$repository/scripts/checks/quotes.py" "$@"; }
tables() { outcome python3 "$repository/scripts/reports/tables.py" "$@"; }

expect "quotes of this repository" "0 " "$(quotes)"
expect "tables of this repository" "0 " "$(tables)"

cd "$scratch"
mkdir docs engine
printf 'int f() {\n    int a = 1;\n\n    int b = 2;\n    return a + b;\n}\n' >engine/f.cpp
# page NAME LINES…: a page with a quote of engine/f.cpp.
page() { printf '%s\n' '# Page' '<!-- from engine/f.cpp -->' '```cpp' "${@:2}" '```' >"$1"; }

page docs/page.md 'int f() {' '  int a = 1;' '  int b = 2;' '  // …' '}'
expect "a true quote" "0 " "$(quotes docs/page.md)"
page docs/page.md 'int f() {' '    int a = 3;'
expect "a changed line" '1 docs/page.md:3: engine/f.cpp has no line `int a = 3;`' "$(quotes docs/page.md)"
page docs/page.md 'int a = 1;' 'return a + b;'
expect "lines left out without a word" '1 docs/page.md:3: engine/f.cpp has not these lines in this order: `int a = 1;` …' "$(quotes docs/page.md)"
page docs/page.md 'return a + b;' '// …' 'int a = 1;'
expect "another order" '1 docs/page.md:3: engine/f.cpp has not these lines in this order: `int a = 1;` …' "$(quotes docs/page.md)"
page docs/page.md '// …'
expect "an empty quote" '1 docs/page.md:3: the quote is empty' "$(quotes docs/page.md)"
sed -i 's/from engine/from motor/' docs/page.md
expect "a file that is not there" '1 docs/page.md:3: there is no motor/f.cpp' "$(quotes docs/page.md)"
printf '```cpp\nint f();\n```\n' >docs/tour.md
expect "C++ from nowhere" '1 docs/tour.md:1: C++ without a line <!-- from PATH --> above it' "$(quotes docs/tour.md)"

cp -r "$repository/benchmarks" "$repository/README.md" .
cp "$repository/docs/measured-facts.md" docs/
sed -i 's/^\(bert-mini,32,128,f32,Dropforge,108,\)109/\1110/' benchmarks/epyc-zen4.md
stale="a table of figures is not what benchmarks/ make of it: scripts/reports/tables.py --write renews it"
expect "another figure" "1 README.md: $stale
docs/measured-facts.md: $stale" "$(tables)"
expect "renewing" "0 " "$(tables --write)"
expect "renewed" "0  1" "$(tables) $(grep -c '| 108 / 110 / 118 |' docs/measured-facts.md)"
printf '\n```console\n$ bench step --model bert-tiny --against-dense --json\nerror: no memory\n```\n' >>benchmarks/h100.md
expect "output that is no JSON" "1 benchmarks/h100.md: not the JSON of a step under \$ bench step --model bert-tiny --against-dense --json: Expecting value: line 1 column 1 (char 0)" "$(tables)"
sed -i 's/figures: dense/figures: fast/' docs/measured-facts.md
cp "$repository/benchmarks/h100.md" benchmarks/
expect "a table that is not there" "1 docs/measured-facts.md: there is no table fast, only beside_pytorch, gpu, dense, methods" "$(tables)"
as_expected
