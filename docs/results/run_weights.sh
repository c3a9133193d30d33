#!/usr/bin/env bash
# Trains the weights that ship beside the first r3d_10, of run_first_look.sh. Usage: docs/results/run_weights.sh DATA_ROOT OUTPUT
#
# Teachers: c3d and r2plus1d_10, by PCL(VCP) alone. Students: one of each architecture, taught by the r3d_10, whose students
# learned fastest in study.md. 40 epochs, one-cycle rate, seed 0, bf16, one thread each. Then galleries. What is finished is
# not run again, what was interrupted is continued.
set -euo pipefail
data=$1 output=$2
configs=$(python -c 'from kdvideo.paths import zoo_root; print(zoo_root() / "configs")')
teacher=r3d_10_w16.pcl-vcp_ucf101mini-s1
export OMP_NUM_THREADS=1
mkdir -p "$output"

run() { # folder, config, published name, KEY VALUE ...
  local folder=$output/$1 config=$configs/$2 name=$3
  shift 3
  grep -qs '"final"' "$folder/metrics.jsonl" && return # finished by an earlier call
  local resume=()
  [ -e "$folder/checkpoint.pt" ] && resume=(--resume)
  kdvideo train "${resume[@]}" --config-file "$config" DATA.ROOT "$data" OUTPUT_DIR "$folder" DATA.NUM_WORKERS 1 \
    SOLVER.EPOCHS 40 SOLVER.SCHEDULE one_cycle SOLVER.AMP bf16 EVAL.PERIOD 40 ZOO.DIR "$output/zoo" ZOO.DTYPE float16 \
    ZOO.PUBLISH_AS "$name" ZOO.LICENCE "research use only (trained on UCF101)" "$@" 2>"$folder.log"
}

for backbone in c3d r2plus1d_10; do
  run $backbone pretrain/pcl_vcp_${backbone}_ucf101mini.yaml ${backbone}_w16.pcl-vcp_ucf101mini-s1
done
for backbone in c3d r3d_10 r2plus1d_10; do
  run $backbone-from-r3d_10 distill/pcl_vcp_${backbone}_ucf101mini.yaml \
    ${backbone}_w16.pcl-vcp-from-r3d_10_w16_ucf101mini-s1 TEACHER.WEIGHTS kdvideo://$teacher
done
python "$(dirname "$0")/make_galleries.py" "$data" "$output/zoo"
