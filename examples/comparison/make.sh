#!/usr/bin/env bash
# Compares both networks, and writes examples/comparison/NAME/README.md for
#   released             the released pair, on the micrographs that were held out of its training;
#   apoferritin          three pairs of trainings without apoferritin, on all micrographs of it;
#   beta-galactosidase   the same without beta-galactosidase;
#   training_size        trainings on 4, 40 and 200 simulated micrographs, three of each network;
# each on simulated micrographs of all signal-to-noise ratios as well. The first measures time and memory, too.
# Usage: bash examples/comparison/make.sh NAME DATA WEIGHTS OUT [options of attnpick compare, such as --gpu cpu --j 2]
# DATA has apoferritin_10146/, betagal_10017/ and structures/beads/. WEIGHTS has no_apof-attention-1/ and so on to
# no_bgal-standard-3/, the folders of the trainings; OUT gets what the comparison goes on from if it is stopped.
# Run it in the folder of the repository.
set -euo pipefail
name=$1
data=$2
weights=$3
out=$4
shift 4
here=$(dirname "${BASH_SOURCE[0]}")
attnpick=(.venv/bin/python -m relion_attn_picker)
apoferritin=(--data "$data/apoferritin_10146/micrographs.star" "$data/apoferritin_10146/truth.star" 120)
betagal=(--data "$data/betagal_10017/micrographs.star" "$data/betagal_10017/truth.star" 150)

simulate() { # NAME STRUCTURE: 36 micrographs; leaves the options that compare on them in "simulated"
    local folder="$out/simulated_$1" diameter
    if [ ! -e "$folder/micrographs.star" ]; then
        "${attnpick[@]}" simulate --out "$folder" --particle "$data/structures/beads/$2.npz" --seed 20 \
            --count 36 --snr 0.1 1.5 --coverage 0.05 0.35
    fi
    diameter=$(sed -n 's/.*"diameter": \([0-9.]*\),.*/\1/p' "$folder/simulation.json")
    simulated+=(--data "$folder/micrographs.star" "$folder/truth.star" "$diameter")
}

pairs() { # WITHOUT: leaves the options that name three pairs in "checkpoints"
    for seed in 1 2 3; do
        checkpoints+=(--attention "$weights/$1-attention-$seed" --standard "$weights/$1-standard-$seed")
    done
}

simulated=() checkpoints=() more=()
case $name in
released)
    simulate apoferritin 4V1W
    simulate beta-galactosidase 1F4A_map
    for network in attention standard; do
        checkpoints+=("--$network" "relion_attn_picker/weights/$network.safetensors")
    done
    more=("${apoferritin[@]}" "${betagal[@]}" --last 3 --last 4 --last 36 --last 36)
    ;;
apoferritin)
    simulate apoferritin 4V1W
    pairs no_apof
    more=("${apoferritin[@]}" --no_costs)
    ;;
beta-galactosidase)
    simulate beta-galactosidase 1F4A_map
    pairs no_bgal
    more=("${betagal[@]}" --no_costs)
    ;;
training_size)
    simulate apoferritin 4V1W
    simulate beta-galactosidase 1F4A_map
    checkpoints=(--simulated 200 --validate_simulated 12 --structures "$data/structures/beads" --exclude ferritin
        --exclude galactosidase --sizes "0.02 0.2 1" --base_features 8 --steps 600 --validate_every 200)
    more=("${apoferritin[@]}" "${betagal[@]}" --no_costs)
    ;;
*)
    echo "There is no comparison $name: expected released, apoferritin, beta-galactosidase or training_size." >&2
    exit 1
    ;;
esac
"${attnpick[@]}" compare --out "$out/$name" "${checkpoints[@]}" "${more[@]}" "${simulated[@]}" "$@"
mkdir -p "$here/$name"
sed -e "s#$out/#OUT/#g" -e "s#$data/#DATA/#g" "$out/$name/comparison.md" >"$here/$name/README.md"
cp "$out/$name"/*.png "$here/$name/"
