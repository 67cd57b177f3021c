#!/usr/bin/env bash
# Trains the released pair of weights, or (WITHOUT=apoferritin or beta-galactosidase) one that has never seen a protein.
# Usage: bash examples/train_weights.sh DATA OUT [options of attnpick train]
# DATA has apoferritin_10146/, betagal_10017/ and structures/beads/. Crops are cut once, with the options of the first
# network; then the two train side by side.
set -euo pipefail
data=$1
out=$2
shift 2
attnpick=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.venv/bin/attnpick
apoferritin=(--data "$data/apoferritin_10146/micrographs.star" "$data/apoferritin_10146/truth.star" 120)
galactosidase=(--data "$data/betagal_10017/micrographs.star" "$data/betagal_10017/truth.star" 150)
without=(--exclude ferritin --exclude beta-galactosidase)
case "${WITHOUT:-}" in
    apoferritin) sets=("${galactosidase[@]}" --weight 0.25 --hold_out 3 "${without[@]}") ;;
    beta-galactosidase) sets=("${apoferritin[@]}" --weight 0.25 --hold_out 3 "${without[@]}") ;;
    "") sets=("${apoferritin[@]}" "${galactosidase[@]}" --weight 0.25 --weight 0.25 --hold_out 3 --hold_out 4) ;;
    *) echo "WITHOUT is $WITHOUT: expected apoferritin or beta-galactosidase." >&2 && exit 1 ;;
esac
mkdir -p "$out"
crops=
trainings=()
for variant in ${VARIANTS:-attention standard}; do
    mkdir -p "$out/$variant"
    if [ -n "$crops" ] && [ ! -e "$out/$variant/crops.h5" ]; then ln "$crops" "$out/$variant/crops.h5"; fi
    "$attnpick" train --variant "$variant" --out "$out/$variant" "${sets[@]}" \
        --simulated 1500 --validate_simulated 40 --structures "$data/structures/beads" --crops_per_source 12000 \
        --base_features 16 --steps 6000 --validate_every 1500 --seed 1 --gpu cpu --j 1 "$@" \
        >"$out/$variant.log" 2>&1 &
    trainings+=($!)
    crops=$out/$variant/crops.h5
    while [ ! -e "$crops" ] && kill -0 $! 2>/dev/null; do sleep 2; done
done
for training in "${trainings[@]}"; do wait "$training"; done
for variant in ${VARIANTS:-attention standard}; do
    "$attnpick" model release "$out/$variant/best.safetensors" "$out/$variant.safetensors"
done
