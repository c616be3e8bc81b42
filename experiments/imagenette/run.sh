#!/bin/sh
# The whole experiment; see README.md.   experiments/imagenette/run.sh PICTURES WORK [tiny|cpu|gpu]
# PYTHON is the interpreter of the environment that has codecproof and its extras train and lite.
set -eu
here=$(dirname "$0") python=${PYTHON:-python} pictures=$1 work=$2 scale=${3:-tiny}
$python "$here/stage_1_distort.py" "$pictures" "$work" --scale "$scale"
for stage in 2_tune 3_train 4_evaluate 5_collect; do
    $python "$here/stage_$stage.py" "$work" --scale "$scale"
done
