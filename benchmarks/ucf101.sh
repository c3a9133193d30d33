#!/usr/bin/env bash
# The paper at full size: 3 baselines and 9 pairs on UCF101, and each of the 12 finetuned on HMDB51.
#
#   benchmarks/ucf101.sh UCF101 HMDB51 OUTPUT
#   benchmarks/ucf101.sh --toy OUTPUT       rehearses it with generated videos and tiny networks, on a CPU
#
# Not run at full size yet. It first measures steps on this machine and prints the expected hours. Then it writes proxies,
# which are read instead of the videos, and trains: what is finished is not run again, what was interrupted is
# continued. The same command therefore goes on after a stop. The last thing it prints is a table.
#
# PYTHON (python3) needs no installed kdvideo. LAUNCH starts a run, "$PYTHON -m kdvideo.cli" by default; for 4 GPUs
# LAUNCH="torchrun --nproc-per-node 4 -m kdvideo.cli". OPTIONS are further KEY VALUE pairs of all runs.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
LAUNCH=${LAUNCH:-$PYTHON -m kdvideo.cli}
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
backbones=(c3d r3d_10 r2plus1d_10)
configs=model_zoo/configs
epochs=100
finetune_epochs=150
steps=(--device cuda --cases alone replay online --steps 10)
# Chosen for speed: the published solver stays, answers of a teacher are kept for its later students.
common=(SOLVER.AMP bf16 EVAL.AMP bf16 EVAL.PERIOD 10)
own=()

if [ "${1:-}" = "--toy" ]; then
    output=$2
    backbones=(r3d_10 c3d)
    epochs=1 finetune_epochs=1
    steps=(--one-process --cases alone replay online --tuples 2 --width 4 --size 32 --length 8 --steps 2)
    common=(EVAL.TUPLES_PER_VIDEO 1 EVAL.CLIPS_PER_VIDEO 1 EVAL.FINAL_CLIPS_PER_VIDEO 1 DATA.NUM_WORKERS 0
        MODEL.WIDTH 4 CLIP.LENGTH 8 CLIP.SIZE 32 DATA.SHORT_SIDE 36 PRETEXT.INTERVAL 2 SOLVER.BATCH_SIZE 4)
    own=(DATA.NAME ucf101 DATA.VALIDATION_SHARE 0.5)
    ucf101=$output/videos hmdb51=$output/videos
    [ -d "$ucf101" ] || $PYTHON - "$ucf101" <<'PYTHON_END'
import sys
from pathlib import Path
from kdvideo.data.synthetic import SyntheticConfig, write_synthetic_ucf101

config = SyntheticConfig(train_groups=2, test_groups=1, clips_per_group=1, min_frames=64, max_frames=66)
write_synthetic_ucf101(Path(sys.argv[1]), config)
PYTHON_END
else
    [ $# -eq 3 ] || { sed -n '2,5p' "$0" >&2; exit 2; }
    ucf101=$1 hmdb51=$2 output=$3
fi
mkdir -p "$output/runs"
export KDVIDEO_HOME=${KDVIDEO_HOME:-$output/home}

if [ ! -s "$output/steps.jsonl" ]; then
    $PYTHON benchmarks/train_step.py --backbones "${backbones[@]}" "${steps[@]}" --json "$output/steps.tmp" >&2
    mv "$output/steps.tmp" "$output/steps.jsonl"
fi
$PYTHON benchmarks/ucf101_hours.py "$output/steps.jsonl" --backbones "${backbones[@]}" --epochs "$epochs" \
    --finetune-epochs "$finetune_epochs"

proxies() {  # the folder of a dataset's proxies; resumable, and quick where all are there
    $PYTHON -m kdvideo.cli data prepare "$1" "$output/proxies/$2" >&2
    echo "$output/proxies/$2"
}
ucf101=$(proxies "$ucf101" ucf101)
hmdb51=$(proxies "$hmdb51" hmdb51)

run() {  # name, config, KEY VALUE ...
    local folder=$output/runs/$1 config=$configs/$2
    shift 2
    if grep -qs '"final"' "$folder/metrics.jsonl"; then
        return
    fi
    local resume=()
    [ ! -e "$folder/checkpoint.pt" ] || resume=(--resume)
    echo "$(date +%H:%M:%S) ${folder##*/}"
    # shellcheck disable=SC2086
    $LAUNCH train "${resume[@]}" --config-file "$config" OUTPUT_DIR "$folder" ZOO.DIR "$output/zoo" ZOO.REPLACE on \
        "${common[@]}" "$@" ${OPTIONS:-} 2>>"$folder.log"
}

pretraining=(DATA.ROOT "$ucf101" SOLVER.EPOCHS "$epochs")
for student in "${backbones[@]}"; do
    run "$student" "pretrain/pcl_vcp_${student}_ucf101.yaml" "${pretraining[@]}"
done
for teacher in "${backbones[@]}"; do
    for student in "${backbones[@]}"; do
        run "${student}_from_$teacher" "distill/pcl_vcp_${student}_from_${teacher}_ucf101.yaml" "${pretraining[@]}" \
            TEACHER.REPLAY on
    done
done
for student in "${backbones[@]}"; do
    for origin in "$student" "${backbones[@]/#/${student}_from_}"; do
        run "hmdb51_$origin" "finetune/${student}_hmdb51.yaml" DATA.ROOT "$hmdb51" SOLVER.EPOCHS "$finetune_epochs" \
            MODEL.WEIGHTS "$output/runs/$origin/checkpoint.pt" ZOO.PUBLISH_AS "$student.pcl-vcp-finetuned_$origin" \
            "${own[@]}"
    done
done

echo "| run | last line of its metrics |"
echo "| --- | --- |"
for folder in "$output"/runs/*/; do
    name=$(basename "$folder")
    echo "| $name | $(tail -n 1 "$folder/metrics.jsonl") |"
done | tee "$output/table.md"
