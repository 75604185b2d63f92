#!/usr/bin/env bash
# Compiles a kernel file so that each access to memory is told of (calls.cpp), as wide as a GPU makes it:
# compile.sh CLANGXX OPT OBJCOPY SOURCE OBJECT FLAGS…
# The calls are those of -fsanitize=thread. clang alone would put them in last, when accesses to packs are split and joined. So they are put in
# as early as can be: after inlining and after what spares redundant loads, but before structures are taken apart (sroa), when a copy of a
# structure is still one call of memcpy. Later passes make the code fast; none of them may know what memcpy is, or join two calls into one.
set -euo pipefail
clangxx=$1 opt=$2 objcopy=$3 source=$4 object=$5
shift 5
clean='mem2reg,early-cse<memssa>,simplifycfg'
before="function($clean),cgscc(inline),function($clean,loop-mssa(loop-rotate,licm),gvn,dse,adce),globaldce"
after='function(sroa,early-cse,simplifycfg,instcombine,adce)'
"$clangxx" "$@" -std=c++20 -O1 -gline-tables-only -w -DDROPFORGE_CUDA_EMULATED=1 -ffp-contract=off -fno-strict-aliasing \
    -fno-threadsafe-statics -fsanitize=thread -fno-optimize-sibling-calls -Xclang -disable-llvm-passes -MD -MF "$object.d" -MT "$object" \
    -emit-llvm -x c++ -c "$source" -o "$object.bc"
"$opt" -inline-threshold=100000 -tsan-instrument-func-entry-exit=0 -tsan-instrument-read-before-write=1 -disable-simplify-libcalls \
    -passes="$before,tsan-module,function(tsan),$after" "$object.bc" -o "$object.seen.bc"
"$clangxx" -O1 -Xclang -disable-llvm-passes -mllvm -enable-tail-merge=0 -mllvm -disable-tail-duplicate -mllvm -disable-early-taildup \
    -mllvm -tail-dup-placement=0 -c "$object.seen.bc" -o "$object"
"$objcopy" --redefine-sym memcpy=dropforge_simt_memcpy --redefine-sym memmove=dropforge_simt_memmove \
    --redefine-sym memset=dropforge_simt_memset "$object"
rm "$object.bc" "$object.seen.bc"
