#!/usr/bin/env bash
# scripts/checks/rooms.py: an include that crosses a wall, a cycle, a file in no room, and a picture that is not the table's are named.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tests/support/expectations.sh
. tests/support/expectations.sh
rooms=$PWD/scripts/checks/rooms.py
command -v git >/dev/null && command -v python3 >/dev/null || { echo "no git or python3 here: skipped"; exit 77; }

# check [--draw]: exit code and output.
check() {
    local output status=0
    output=$(python3 "$rooms" "$@" 2>&1) || status=$?
    echo "$status $output"
}

cd "$scratch"
git init -q
mkdir -p cmake docs base engine/plans apps
printf '# comment\nbase :\nengine : base\nengine/plans : engine\napps : engine/plans\n' >cmake/rooms.txt
printf 'text\n<!-- rooms -->\n<!-- /rooms -->\nmore\n' >docs/architecture.md
echo '#include "base/error.h"' >engine/program.cpp
printf '#include <map>\n#include "engine/program.h"\n#include "other/thing.h"\n' >engine/plans/plan.h
echo '#include "base/error.h"' >apps/main.cpp

expect "a picture that is missing" "1 docs/architecture.md: the picture of the rooms is not that of cmake/rooms.txt: scripts/checks/rooms.py --draw renews it" \
    "$(check)"
expect "drawing it" "0 " "$(check --draw)"
expect "the arrows in it" "    engine --> base
    engine_plans --> engine
    apps --> engine_plans" "$(grep -e '[a-z] --> ' docs/architecture.md)"
expect "a house in order" "0 " "$(check)"

printf '// first\n#include "apps/main.h"\n' >>engine/program.cpp
echo '#include "engine/plans/plan.h"' >engine/tensor.cu
expect "includes that cross a wall" "1 engine/program.cpp:3: engine may not include apps/main.h (apps), says cmake/rooms.txt
engine/tensor.cu:1: engine may not include engine/plans/plan.h (engine/plans), says cmake/rooms.txt" "$(check)"
rm engine/program.cpp engine/tensor.cu

mkdir shed
touch shed/tool.cpp
expect "a file in no room" "1 shed/tool.cpp: in no room of cmake/rooms.txt" "$(check)"
rm -r shed

sed -i 's/^base :/base : apps/' cmake/rooms.txt
expect "a cycle" "1 cmake/rooms.txt: a cycle: base -> apps -> engine/plans -> engine -> base" "$(check)"
sed -i 's/^base : apps/base : cellar/' cmake/rooms.txt
expect "a room that is not there" "1 cmake/rooms.txt: base names cellar, which is no room" "$(check)"
as_expected
