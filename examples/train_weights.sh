#!/usr/bin/env bash
# Trains the released pair of weights from the real micrographs and the structures in a data folder, on two CPU cores.
# Usage: bash examples/train_weights.sh DATA OUT      (DATA has apoferritin_10146/ betagal_10017/ structures/beads/)
set -euo pipefail
data=$1
out=$2
attnpick=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.venv/bin/attnpick
for variant in attention standard; do
    "$attnpick" train --variant "$variant" --out "$out/$variant" \
        --data "$data/apoferritin_10146/micrographs.star" "$data/apoferritin_10146/truth.star" 120 --hold_out 3 \
        --data "$data/betagal_10017/micrographs.star" "$data/betagal_10017/truth.star" 150 --hold_out 4 \
        --simulated 400 --structures "$data/structures/beads" --crops_per_source 1600 \
        --base_features 16 --steps 1200 --validate_every 200 --seed 1 --gpu cpu --j 1 &
done
wait
for variant in attention standard; do
    "$attnpick" model release "$out/$variant/best.safetensors" "$out/$variant.safetensors"
done
