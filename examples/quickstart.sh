#!/usr/bin/env bash
# From nothing to evaluated picks: makes .venv, simulates a small RELION project, runs the External job as RELION would.
# Arguments go to the job: bash examples/quickstart.sh --variant standard --threshold 0.3
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source examples/environment.sh
make_environment .
bin=$PWD/.venv/bin
python=$bin/python
draw=$PWD/examples/draw_picks.py
project=${ATTNPICK_QUICKSTART:-quickstart}

if [ ! -e "$project/micrographs.star" ]; then
    echo "Simulating a small project in $project ..."
    "$bin/attnpick" simulate --out "$project" --count 4 --seed 3
fi
cd "$project"
job=External/job001/
mkdir -p "$job"
rm -f "$job"run.out "$job"run.err

# The command line that RELION composes from the GUI's fields, with the output where RELION puts it.
echo "Running in $PWD:"
echo "  attnpick-external --o $job --in_mics micrographs.star --in_coords truth.star --diameter 160 $* --j 2"
status=0
"$bin/attnpick-external" --o "$job" --in_mics micrographs.star --in_coords truth.star --diameter 160 "$@" --j 2 \
    >>"$job"run.out 2>>"$job"run.err || status=$?
cat "$job"run.out
cat "$job"run.err >&2
if [ "$status" -ne 0 ]; then die "the job ended with exit code $status; its folder is $PWD/$job."; fi

"$python" "$draw" "$job" Micrographs/mic0002.mrc truth.star 160 "$job"mic0002_picks.png
echo "Files of the job in $PWD/$job:"
ls "$job"
echo "Picture with the picks drawn in: $PWD/${job}mic0002_picks.png"
