#!/usr/bin/env bash
# Measures a pair of weights, as README.md and relion_attn_picker/weights/README.md tell of the released one, on real
# micrographs held out, simulated sessions, areas recorded twice, micrographs with nothing to pick, and sparse ones.
# Usage: bash examples/measure_weights.sh DATA OUT [WEIGHTS]
# DATA has apoferritin_10146/, betagal_10017/, klh_unlabelled/ and structures/beads/. WEIGHTS is a folder as attnpick
# calibrate makes it, the released one if left out. Jobs and logs stay in OUT; what is there is not made again.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=$here/../.venv/bin
data=$(cd "$1" && pwd)
mkdir -p "$2"
out=$(cd "$2" && pwd)
weights=$(cd "${3:-$here/../relion_attn_picker/weights}" && pwd)
variants=(attention standard hybrid)
computer=(--gpu cpu --j 1)

name_weights() { # VARIANT
    if [ "$1" = hybrid ]; then echo "$weights"; else echo "$weights/$1.safetensors"; fi
}

pick_all() { # NAME MICROGRAPHS DIAMETER [options]: OUT/NAME-VARIANT of every network, side by side
    local name=$1 micrographs=$2 diameter=$3 variant job jobs=()
    for variant in "${variants[@]}"; do
        "$bin/attnpick" pick "$micrographs" --diameter "$diameter" --weights "$(name_weights "$variant")" \
            --out "$out/$name-$variant" "${computer[@]}" "${@:4}" >"$out/$name-$variant.log" 2>&1 &
        jobs+=($!)
    done
    for job in "${jobs[@]}"; do wait "$job"; done
}

tell() { # WHAT LOG: the figures of an evaluation in a line
    printf '%-42s ' "$1"
    awk '/^precision /{p=$2; ps=$3"-"$5} /^recall /{r=$2; rs=$3"-"$5} /^F1 /{f=$2; fs=$3"-"$5; q=$7; qs=$8"-"$10}
        /^average precision /{a=$3; as=$4"-"$6} /^best F1 /{b=$3} /^promised /{m=$3} /^calibration error /{c=$3; o=$NF}
        /without them:/{e=$NF}
        END{sub(",", "", m); sub(")", "", o)
            printf "precision %s (%s; promised %s) recall %s (%s) F1 %s (%s) d/4 %s (%s)", p, ps, m, r, rs, f, fs, q, qs
            printf " AP %s (%s) best F1 %s calibration %s (own %s) F1 inside %s\n", a, as, b, c, o, e}' "$2"
}

cut_and_tell() { # WHAT JOB TRUTH [options of attnpick select]
    "$bin/attnpick" select "$out/$2" --reference "$3" "${@:4}" >"$out/$2.select.log" 2>&1
    tell "$1" "$out/$2.select.log"
}

real() { # SET DIAMETER LAST
    local set=$data/$1 job
    pick_all "$1" "$set/micrographs.star" "$2"
    for variant in "${variants[@]}"; do
        job=$out/$1-$variant
        evaluate=("$bin/attnpick" evaluate "$job" "$set/truth.star" --diameter "$2")
        "${evaluate[@]}" >"$job.all.log" 2>&1
        tell "$1, all, $variant" "$job.all.log"
        "${evaluate[@]}" --last "$3" >"$job.last.log" 2>&1
        tell "$1, last $3, $variant" "$job.last.log"
        cut_and_tell "$1, all, $variant, keep_junk" "$1-$variant" "$set/truth.star" --keep_junk
        for count in 62.5 250; do
            cut_and_tell "$1, all, $variant, surest $count" "$1-$variant" "$set/truth.star" --reject_junk \
                --count_per_micrograph "$count"
        done
        "$bin/attnpick" select "$job" --mode precision --reject_junk >"$job.select.log" 2>&1
        "${evaluate[@]}" --last "$3" >"$job.precision.log" 2>&1
        tell "$1, last $3, $variant, precision" "$job.precision.log"
    done
    for variant in attention standard; do
        "$bin/attnpick" diameter "$set/micrographs.star" --weights "$weights/$variant.safetensors" "${computer[@]}" \
            >"$out/$1-$variant.diameter.log" 2>&1 || true
        echo "$1, $variant: $(tail -n 1 "$out/$1-$variant.diameter.log")"
    done
}

simulate() { # FOLDER [options]
    if [ -e "$out/$1/micrographs.star" ]; then return; fi
    "$bin/attnpick" simulate --out "$out/$1" "${@:2}" >"$out/$1.log" 2>&1
}

read_diameter() { # FOLDER
    sed -n 's/.*"diameter": \([0-9.]*\),.*/\1/p' "$out/$1/simulation.json"
}

simulated() { # NAME STRUCTURE: the sessions of examples/comparison/make.sh
    local folder=simulated_$1
    simulate "$folder" --particle "$data/structures/beads/$2.npz" --seed 20 --count 36 --snr 0.1 1.5 \
        --coverage 0.05 0.35
    pick_all "$folder" "$out/$folder/micrographs.star" "$(read_diameter "$folder")"
    for variant in "${variants[@]}"; do
        cut_and_tell "$folder, $variant" "$folder-$variant" "$out/$folder/truth.star" --mode balanced
        cut_and_tell "$folder, $variant, precision" "$folder-$variant" "$out/$folder/truth.star" --mode precision
        cut_and_tell "$folder, $variant, target .9" "$folder-$variant" "$out/$folder/truth.star" --target_precision 0.9
    done
}

nothing() { # SEED DIRT [options of attnpick pick]: picks a megapixel of network input
    local folder=empty_$1_$2 job count
    simulate "$folder" --empty 1 --dirt "$2" --count 8 --width 2048 --height 2048 --pixel_size 2 --seed "$1"
    job=$folder$(printf '%s' "${@:3}")
    pick_all "$job" "$out/$folder/micrographs.star" 160 "${@:3}"
    for variant in "${variants[@]}"; do
        count=$(sed -n 's/.*Total number of particles from 8 micrographs is \([0-9]*\).*/\1/p' "$out/$job-$variant.log")
        echo "$job, $variant: $(awk -v n="$count" 'BEGIN{printf "%.1f", n / 3.02}') picks a megapixel"
    done
}

real apoferritin_10146 120 3
real betagal_10017 150 4
simulated apoferritin 4V1W
simulated beta-galactosidase 1F4A_map

klh=$data/klh_unlabelled
pick_all klh "$klh/micrographs.star" 370
for variant in "${variants[@]}"; do
    echo "klh, $variant: $(cd "$klh" && "$bin/python" "$here/measure_repeatability.py" "$out/klh-$variant" 370 far_ near_)"
done
"$bin/attnpick" diameter "$klh/micrographs.star" --weights "$weights/attention.safetensors" "${computer[@]}" \
    >"$out/klh.diameter.log" 2>&1 || true
echo "klh, attention: $(tail -n 1 "$out/klh.diameter.log")"

for dirt in none usual heavy; do
    nothing 123 "$dirt"
    nothing 123 "$dirt" --keep_junk --threshold weights
done
variants=(attention)
for seed in 5 91 777 2001 2002; do
    nothing "$seed" usual
    nothing "$seed" heavy
done
for seed in 300{1..6} 500{1..6}; do nothing "$seed" heavy; done

bash "$here/measure_sparse.sh" "$data/structures/beads" "$out/sparse" \
    --weights "$weights/attention.safetensors" "${computer[@]}"
