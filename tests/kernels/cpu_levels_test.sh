#!/usr/bin/env bash
# Of the CPU kernels' object for each level, one function is a global symbol and nothing is weak: the linker cannot take code of one level for
# another, or for the rest of the program. And the rest of the program has no wide vectors.
# BUILD is the build folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
build=${BUILD:-build/release}
# shellcheck source=tests/support/expectations.sh
. tests/support/expectations.sh

found=0
for object in "$build"/kernels_cpu_*.o; do
    level=${object##*/kernels_cpu_}
    level=${level%.o}
    symbols=$(nm --defined-only --extern-only "$object" | awk '{ print $2, $3 }')
    expected="T _ZN9dropforge7kernels$((${#level} + 4))cpu_${level}Ev"
    expect "global symbols of $object" "$expected" "$symbols"
    found=$((found + 1))
done
expect "levels" "$([ "$(uname -m)" = x86_64 ] && echo 5 || echo 1)" $found

# Registers of AVX and AVX-512 in a function that a level does not own would run on every machine.
wide=$(objdump -d --no-show-raw-insn "$build/libbase.a" "$build/libengine.a" "$build/libdata.a" "$build/libmodel.a" |
    grep -cE '%[yz]mm[0-9]' || true)
expect "instructions with wide vectors outside of the CPU kernels" 0 "$wide"
as_expected
