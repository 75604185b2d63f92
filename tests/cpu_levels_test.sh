#!/usr/bin/env bash
# Of the CPU kernels' object for each level, one function is a global symbol and nothing is weak: the linker cannot take code of one level for
# another, or for the rest of the program. And the rest of the program has no wide vectors.
set -uo pipefail
failures=0
fail() { echo "$*"; failures=$((failures + 1)); }

build=${BUILD:?the build folder}
found=0
for object in "$build"/kernels_cpu_*.o; do
    level=${object##*/kernels_cpu_}
    level=${level%.o}
    symbols=$(nm --defined-only --extern-only "$object" | awk '{ print $2, $3 }')
    expected="T _ZN9dropforge7kernels$((${#level} + 4))cpu_${level}Ev"
    [ "$symbols" = "$expected" ] || fail "$object: the global symbols are '$symbols', not '$expected'"
    found=$((found + 1))
done
[ "$(uname -m)" != x86_64 ] || [ $found = 4 ] || fail "$found levels in $build, not 4"

# Registers of AVX and AVX-512 in a function that a level does not own would run on every machine.
wide=$(objdump -d --no-show-raw-insn "$build/libbase.a" "$build/libengine.a" "$build/libdata.a" "$build/libmodel.a" |
    grep -cE '%[yz]mm[0-9]')
[ "$wide" = 0 ] || fail "$wide instructions with wide vectors outside of the CPU kernels"
[ $failures = 0 ] && echo "each level keeps to itself"
