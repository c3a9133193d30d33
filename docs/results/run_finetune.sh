#!/usr/bin/env bash
# The runs behind docs/results/finetune.md. Usage: docs/results/run_finetune.sh DATA_ROOT OUTPUT
#
# r3d_10 of width 16: PCL(VCP) and a student of the shipped teacher, 30 epochs each, then 20 epochs of finetuning from
# scratch, from PCL, from the student; three seeds, one thread, one after the other. What is finished is not run again, what
# was interrupted is continued.
set -euo pipefail
data=$1 output=$2
configs=$(python -c 'from kdvideo.paths import zoo_root; print(zoo_root() / "configs")')
teacher=kdvideo://r3d_10_w16.pcl-vcp_ucf101mini-s1
export OMP_NUM_THREADS=1
mkdir -p "$output"

run() { # name, config, KEY VALUE ...
  local folder=$output/$1 config=$configs/$2
  shift 2
  grep -qs '"final"' "$folder/metrics.jsonl" && return # finished by an earlier call
  local resume=()
  [ -e "$folder/checkpoint.pt" ] && resume=(--resume)
  kdvideo train "${resume[@]}" --config-file "$config" DATA.ROOT "$data" OUTPUT_DIR "$folder" DATA.NUM_WORKERS 1 "$@" \
    2>"$folder.log"
}

for seed in 0 1 2; do
  pretraining=(SEED "$seed" SOLVER.EPOCHS 30 SOLVER.SCHEDULE one_cycle EVAL.PERIOD 30)
  run "distilled.seed$seed" distill/pcl_vcp_r3d_10_ucf101mini.yaml "${pretraining[@]}" TEACHER.WEIGHTS $teacher
  run "pcl.seed$seed" pretrain/pcl_vcp_r3d_10_ucf101mini.yaml "${pretraining[@]}"
  run "finetuned-scratch.seed$seed" finetune/r3d_10_ucf101mini.yaml SEED "$seed"
  for origin in pcl distilled; do
    run "finetuned-$origin.seed$seed" finetune/r3d_10_ucf101mini.yaml SEED "$seed" \
      MODEL.WEIGHTS "$output/$origin.seed$seed/checkpoint.pt"
  done
done
python "$(dirname "$0")/summarise_finetune.py" "$output"
