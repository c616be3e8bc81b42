#!/bin/sh
# A "pre-trained" network from scratch on clean crops, then its fine-tuned and expert twins for two distortions,
# all evaluated on all columns, and the report. Everything goes on where it stopped when it is started again.
#
#   benchmarks/experts.sh PICTURES OUT
#
# PICTURES has train/CLASS/* and val/CLASS/* (imagenette, a part of ImageNet). Settings, with their defaults:
#   ARCH=shufflenet_v2_x0_5 SCRATCH_EPOCHS=20 EPOCHS=5 SEEDS="0" COLUMNS="jpeg-10 j2k-200" LIMIT= WORKERS=1
set -eu
pictures=$1 out=$2
arch=${ARCH:-shufflenet_v2_x0_5} seeds=${SEEDS:-0} columns=${COLUMNS:-jpeg-10 j2k-200}
limit=${LIMIT:+--limit $LIMIT}
reading="--workers ${WORKERS:-1}"
distortions=$(echo "$columns" | tr ' ' ',')

for split in train val; do
    # shellcheck disable=SC2086
    distort run "$pictures/$split" "$out/data/$split" --distortions "$distortions" $limit
done

common="--val $out/data/val --arch $arch --batch 64 --holdout 0.05 --resume $reading"
# shellcheck disable=SC2086
train finetune "$out/data/train" --column clean --weights none --lr 1e-3 --flip \
    --epochs "${SCRATCH_EPOCHS:-20}" --out "$out/runs/scratch" --test-columns none $common
weights=$out/runs/scratch/best.safetensors

# shellcheck disable=SC2086
train teach "$out/data/train" --arch "$arch" --weights "$weights" $reading
checkpoints=
for column in $columns; do
    for seed in $seeds; do
        for method in finetune expert; do
            run=$out/runs/$method-$column-$seed
            # shellcheck disable=SC2086
            train "$method" "$out/data/train" --column "$column" --weights "$weights" --lr 1e-4 \
                --epochs "${EPOCHS:-5}" --seed "$seed" --out "$run" --test-columns none $common
            checkpoints="$checkpoints --checkpoint $run/best.safetensors"
        done
    done
done
# shellcheck disable=SC2086
train evaluate "$out/data/val" --arch "$arch" --weights "$weights" $checkpoints $reading \
    --out "$out/results.json"
