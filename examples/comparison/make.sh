#!/usr/bin/env bash
# Compares both networks on proteins that neither has seen: three pairs of trainings without apoferritin, on apoferritin;
# three without beta-galactosidase, on beta-galactosidase; real micrographs and simulated ones of all signal-to-noise ratios.
# Usage: bash examples/comparison/make.sh DATA WEIGHTS OUT [options of attnpick compare, such as --gpu cpu --j 2]
# DATA has apoferritin_10146/, betagal_10017/ and structures/beads/. WEIGHTS has no_apof-attention-1/ and so on to
# no_bgal-standard-3/, the folders of the trainings; OUT gets what the comparison goes on from if it is stopped.
# Run it in the folder of the repository; the reports go to examples/comparison/. PAIRS=1 COUNT=6 for a quick look.
set -euo pipefail
data=$1
weights=$2
out=$3
shift 3
here=$(dirname "${BASH_SOURCE[0]}")
attnpick=(.venv/bin/python -m relion_attn_picker)
compare() {
    local name=$1 without=$2 structure=$3 set=$4 diameter=$5 checkpoints=() simulated="$out/simulated_$1" size
    shift 5
    if [ ! -e "$simulated/micrographs.star" ]; then
        "${attnpick[@]}" simulate --out "$simulated" --particle "$data/structures/beads/$structure.npz" --seed 20 \
            --count "${COUNT:-36}" --snr 0.1 1.5 --coverage 0.05 0.35
    fi
    size=$(sed -n 's/.*"diameter": \([0-9.]*\),.*/\1/p' "$simulated/simulation.json")
    for seed in $(seq "${PAIRS:-3}"); do
        checkpoints+=(--attention "$weights/$without-attention-$seed" --standard "$weights/$without-standard-$seed")
    done
    "${attnpick[@]}" compare --out "$out/$name" "${checkpoints[@]}" \
        --data "$data/$set/micrographs.star" "$data/$set/truth.star" "$diameter" \
        --data "$simulated/micrographs.star" "$simulated/truth.star" "$size" "$@"
    mkdir -p "$here/$name"
    cp "$out/$name/comparison.md" "$here/$name/README.md"
    cp "$out/$name"/*.png "$here/$name/"
}
compare apoferritin no_apof 4V1W apoferritin_10146 120 "$@"
compare beta-galactosidase no_bgal 1F4A_map betagal_10017 150 "$@"
