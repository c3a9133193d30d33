#!/usr/bin/env bash
# The runs behind docs/results/index.md. Usage: docs/results/run_first_look.sh DATA_ROOT OUTPUT [JOBS]
#
# Three r3d_10 teachers (seeds 0 to 2; the first is the one that ships), then a c3d student alone and with the first
# teacher, three seeds each. The first teacher runs alone on two threads, the others JOBS at once (default 2) on one thread
# each. What is finished is not run again, what was interrupted is continued.
set -euo pipefail
data=$1 output=$2 jobs=${3:-2}
configs=$(python -c 'from kdvideo.paths import zoo_root; print(zoo_root() / "configs")')
teacher=r3d_10_w16.pcl-vcp_ucf101mini-s1

run() { # name, config, KEY VALUE ...
  local folder=$output/$1 config=$configs/$2
  shift 2
  grep -qs '"final"' "$folder/metrics.jsonl" && return # finished by an earlier call
  local resume=()
  [ -e "$folder/checkpoint.pt" ] && resume=(--resume)
  kdvideo train "${resume[@]}" --config-file "$config" DATA.ROOT "$data" OUTPUT_DIR "$folder" \
    DATA.NUM_WORKERS "$OMP_NUM_THREADS" ZOO.DIR "$output/zoo" "$@" 2>"$folder.log"
}
export -f run
export output configs data teacher
mkdir -p "$output"

OMP_NUM_THREADS=2 run teacher.seed0 pretrain/pcl_vcp_r3d_10_ucf101mini.yaml SEED 0 \
  ZOO.PUBLISH_AS $teacher ZOO.DTYPE float16 ZOO.LICENCE "research use only (trained on UCF101)"
{
  for seed in 0 1 2; do
    echo "run alone.seed$seed pretrain/pcl_vcp_c3d_ucf101mini.yaml SEED $seed"
    echo "run distilled.seed$seed distill/pcl_vcp_c3d_ucf101mini.yaml SEED $seed TEACHER.WEIGHTS kdvideo://$teacher"
  done
  for seed in 1 2; do
    echo "run teacher.seed$seed pretrain/pcl_vcp_r3d_10_ucf101mini.yaml SEED $seed"
  done
} | OMP_NUM_THREADS=1 xargs -P "$jobs" -I{} bash -c '{}'
python "$(dirname "$0")/summarise_first_look.py" "$output" "$(dirname "$0")"
