#!/usr/bin/env bash
# From an empty folder to retrained picks, as a RELION 3.1 project: simulate, Import, pick, Extract, Class2D, keep good
# classes, train on them, pick again, figures before and after.
#   bash tutorial.sh FOLDER [count=8] [class_iterations=10] [classes=6] [steps=240] [width=720] [height=640]
# Needs RELION's programs and attnpick on the PATH. Every step is a plain command; nothing needs a window.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=${1:?give the path of a new folder}
count=8 class_iterations=10 classes=6 steps=240 width=720 height=640 threads=2
for setting in "${@:2}"; do
    case ${setting%%=*} in
        count | class_iterations | classes | steps | width | height | threads) declare "$setting" ;;
        *) echo "ERROR: there is no setting $setting: see the head of $0." >&2 && exit 1 ;;
    esac
done
python=$(command -v "${PYTHON:-python3}") || { echo "ERROR: there is no $PYTHON." >&2 && exit 1; }
case $python in /*) ;; *) python=$PWD/$python ;; esac
diameter=160 pixel_size=6 box=48

for program in attnpick attnpick-external attnpick-train-external relion_pipeliner relion_refine; do
    command -v "$program" >/dev/null || { echo "ERROR: $program is not on the PATH." >&2 && exit 1; }
done

# run_job KIND OPTIONS: adds a job to the project, runs it as RELION's GUI would, and sets $job to its name.
run_job() {
    relion_pipeliner --addJob "$1" --addJobOptions "$2" >/dev/null
    job=$(ls -d "$1"/job*/ | tail -n 1)
    echo "== $job"
    relion_pipeliner --RunJobs "$job" --sec_wait_after 1 >/dev/null
    if [ ! -e "${job}RELION_JOB_EXIT_SUCCESS" ]; then
        echo "ERROR: $job did not succeed; the end of its run.err:" >&2
        tail -n 5 "${job}run.err" >&2
        exit 1
    fi
}

mkdir -p "$folder"
cd "$folder"
if [ ! -e micrographs.star ]; then
    echo "== Simulate $count micrographs with known particles"
    attnpick simulate --out . --count "$count" --width "$width" --height "$height" --pixel_size "$pixel_size" \
        --diameter "$diameter" --coverage 0.15 0.3 --seed 3
fi
# An empty pipeline makes the folder a RELION project.
printf '\n# version 30001\n\ndata_pipeline_general\n\n_rlnPipeLineJobCounter 1\n \n' >default_pipeline.star

run_job Import "do_raw == No;do_other == Yes;fn_in_other == micrographs.star;node_type == Micrographs STAR file (.star)"
micrographs=${job}micrographs.star

run_job External "fn_exe == $(command -v attnpick-external);in_mic == $micrographs;nr_threads == $threads;\
param1_label == diameter;param1_value == $diameter;param2_label == threshold;param2_value == 0.2"
first_picks=$job

run_job Extract "star_mics == $micrographs;coords_suffix == ${first_picks}coords_suffix_autopick.star;\
extract_size == $box;bg_diameter == -1;do_invert == Yes;do_norm == Yes;nr_mpi == 1"
particles=${job}particles.star

run_job Class2D "fn_img == $particles;nr_classes == $classes;nr_iter == $class_iterations;\
particle_diameter == $((diameter + 30));do_ctf_correction == Yes;psi_sampling == 12;offset_range == 4;\
nr_mpi == 1;nr_threads == $threads;use_gpu == No;do_preread_images == Yes"
last=$(printf '%srun_it%03d' "$job" "$class_iterations")

echo "== Keep good classes of ${last}_model.star"
mkdir -p Select/good
"$python" "$here/keep_classes.py" "${last}" Select/good

run_job External "fn_exe == $(command -v attnpick-train-external);in_mic == $micrographs;\
in_part == Select/good/particles.star;nr_threads == $threads;param1_label == diameter;param1_value == $diameter;\
param2_label == steps;param2_value == $steps;param3_label == gpu;param3_value == auto"
training=$job
tail -n 5 "${training}run.out"

run_job External "fn_exe == $(command -v attnpick-external);in_mic == $micrographs;nr_threads == $threads;\
param1_label == diameter;param1_value == $diameter;param2_label == weights;param2_value == $training"
second_picks=$job

held_out=$((count / 5 > 0 ? count / 5 : 1))
for picks in "$first_picks" "$second_picks"; do
    echo "== $picks on the last $held_out micrographs, which the training did not see"
    attnpick evaluate "$picks" truth.star --diameter "$diameter" --micrographs micrographs.star --last "$held_out" |
        tee "${picks}held_out.txt"
done
echo "Look at $folder/Select/good/classes.png and $folder/${training}logfile.pdf."
