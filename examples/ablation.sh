#!/usr/bin/env bash
# Compares scales, targets and losses with short trainings of a narrow network; prints the last validation of each.
# Usage: bash examples/ablation.sh DATA OUT           (DATA has apoferritin_10146/ and betagal_10017/)
set -euo pipefail
data=$1
out=$2
attnpick=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.venv/bin/attnpick
run() {
    local name=$1
    shift
    "$attnpick" train --variant attention --out "$out/$name" \
        --data "$data/apoferritin_10146/micrographs.star" "$data/apoferritin_10146/truth.star" 120 --hold_out 3 \
        --data "$data/betagal_10017/micrographs.star" "$data/betagal_10017/truth.star" 150 --hold_out 4 \
        --crops_per_source 600 --base_features 8 --steps 400 --validate_every 400 --seed 1 --gpu cpu --j 1 "$@" \
        >"$out/$name.log" 2>&1
    echo "$name: $(grep '^step' "$out/$name.log" | tail -n 1)"
}
mkdir -p "$out"
run gaussian_focal_24px
run gaussian_focal_32px --diameter_px 32 --input_size 160
run wide_gaussian_focal_24px --target wide_gaussian
run gaussian_cross_entropy_24px --loss cross_entropy
run disc_cross_entropy_24px --target disc --loss cross_entropy
