#!/bin/sh
# The whole way with the dropforge and the dropforge-bench that the PATH has, in seconds: text to data, pretraining, evaluation, filling in.
# Usage: try_programs.sh TEXT, a file or folder; data and runs go to the working folder.
set -eu
show() { echo "\$ $*"; "$@"; }

command -v dropforge
command -v dropforge-bench
show dropforge --version
show dropforge prepare --text "$1" --train-vocab 1000 --validation-fraction 0.3 --out data
show dropforge pretrain bert-tiny --device cpu --data data --out runs/tiny \
    --steps 60 --batch 16 --sequence 64 --set train.lr=2e-3 --set log.every=20
show dropforge evaluate --device cpu --model runs/tiny/checkpoints/step-00000060 --data data --sequence 64
show dropforge fill --model runs/tiny/checkpoints/step-00000060 "The [MASK] of a step."
show dropforge pretrain demo --device cpu --data data --out runs/demo --steps 2 # a configuration that came with the program
show dropforge-bench step --device cpu --model bert-tiny --batch 4 --sequence 32 --steps 1
