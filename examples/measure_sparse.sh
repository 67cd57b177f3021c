#!/usr/bin/env bash
# Picks simulated sessions from sparse to crowded, and faint ones, with the defaults, and tells how near the cut comes to
# the best one.
# Usage: bash examples/measure_sparse.sh STRUCTURES OUT [options of attnpick pick, such as --gpu cpu --j 2]
# STRUCTURES has bead files (ID.npz). A session that is there already is not made again.
set -euo pipefail
structures=$1
out=$2
shift 2
attnpick=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.venv/bin/attnpick
mkdir -p "$out"

measure() { # SEED ID COVERAGE_LOW COVERAGE_HIGH SNR_LOW SNR_HIGH DIRT
    local folder="$out/$1" diameter
    if [ ! -e "$folder/micrographs.star" ]; then
        "$attnpick" simulate --out "$folder" --particle "$structures/$2.npz" --seed "$1" --coverage "$3" "$4" \
            --snr "$5" "$6" --dirt "$7" --count 5 --width 1280 --height 1280 --pixel_size 2.5 >"$folder.log" 2>&1
    fi
    diameter=$(sed -n 's/.*"diameter": \([0-9.]*\),.*/\1/p' "$folder/simulation.json")
    "$attnpick" pick "$folder/micrographs.star" --diameter "$diameter" --out "$folder-picks" \
        --reference "$folder/truth.star" "${@:8}" >"$folder-picks.log" 2>&1
    printf '%-9s %-11s %-9s %-6s %9s %7s %7s %7s  %s\n' "$2" "$3-$4" "$5-$6" "$7" \
        $(awk '/^recall /{r=$2} /^precision /{p=$2} /^F1 /{f=$2} /^best F1 /{b=$3} /raised, as/{x="raised"} /^promised /{m=$3}
            END{sub(",", "", m); print p, f, b, (m == "" ? "-" : m), x}' "$folder-picks.log")
}

printf '%-9s %-11s %-9s %-6s %9s %7s %7s %7s\n' particle coverage SNR dirt precision F1 best promise
while read -r -a session; do measure "${session[@]}" "$@"; done <<'SESSIONS'
1700 1U7K 0.03 0.1 0.1 0.3 none
1701 2PLV 0.002 0.006 0.1 0.3 none
1702 4M57 0.1 0.4 0.3 0.8 usual
1703 3CYE 0.01 0.03 0.3 0.8 usual
1704 8U4L 0.03 0.1 0.6 1.5 heavy
1705 1ZXX 0.002 0.006 0.6 1.5 heavy
1706 2VGB 0.1 0.4 0.1 0.3 usual
1707 1GYT 0.01 0.03 0.1 0.3 usual
1708 3H47 0.03 0.1 0.3 0.8 usual
1709 4IUJ 0.002 0.006 0.3 0.8 usual
1710 5JZT 0.1 0.4 0.6 1.5 heavy
1711 5OMB 0.01 0.03 0.6 1.5 heavy
1712 3DSD 0.03 0.1 0.1 0.3 usual
1713 3NIG 0.002 0.006 0.1 0.3 usual
1714 4V4F 0.1 0.4 0.3 0.8 none
1715 6T8H 0.01 0.03 0.3 0.8 none
7001 1TH7 0.1 0.4 0.05 0.1 usual
7002 2RH1 0.1 0.4 0.1 0.2 usual
7003 1MNF 0.1 0.4 0.03 0.06 usual
7004 1K4C 0.1 0.4 0.05 0.1 none
7005 6WWE 0.1 0.4 0.05 0.1 heavy
7006 1EXB 0.03 0.1 0.05 0.1 usual
7007 1QVR 0.03 0.1 0.1 0.2 usual
7008 5ZJU 0.1 0.4 0.1 0.2 heavy
7009 2GTI 0.1 0.4 0.05 0.1 usual
7010 1BMV 0.1 0.4 0.03 0.06 none
9001 4IAQ 0.1 0.4 0.3 0.8 usual
9002 2POR 0.1 0.4 0.05 0.1 usual
9003 3EIY 0.1 0.4 0.05 0.1 none
9004 6FSZ 0.1 0.4 0.1 0.3 heavy
9005 2J88 0.03 0.1 0.1 0.3 usual
9006 4NDO 0.03 0.1 0.05 0.1 none
9007 1HHO 0.03 0.1 0.6 1.5 heavy
9008 6VYK 0.01 0.03 0.1 0.3 none
9009 2HMI 0.01 0.03 0.3 0.8 usual
9010 4MZA 0.01 0.03 0.1 0.3 usual
9011 4R8P 0.002 0.006 0.1 0.3 none
9012 3O1H 0.002 0.006 0.3 0.8 usual
11001 4P04 0.1 0.4 0.1 0.3 usual
11002 2ADY 0.03 0.1 0.3 0.8 heavy
11003 1A69 0.1 0.4 0.05 0.1 usual
11004 6F5U 0.1 0.4 0.6 1.5 usual
11005 4JSV 0.01 0.03 0.3 0.8 usual
11006 1L2Q 0.1 0.4 0.1 0.3 heavy
11007 4W64 0.03 0.1 0.1 0.3 none
11008 5EJR 0.1 0.4 0.1 0.3 none
11009 2P0A 0.03 0.1 0.1 0.3 usual
11010 1U6G 0.1 0.4 0.3 0.8 heavy
11011 6J6J 0.03 0.1 0.3 0.8 usual
11012 7CTH 0.1 0.4 0.05 0.1 none
SESSIONS
