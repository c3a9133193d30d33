#!/usr/bin/env bash
# The runs behind docs/results/pretexts.md. Usage: docs/results/run_pretexts.sh DATA_ROOT OUTPUT
#
# r3d_10 with each pretext, joined with the contrastive loss (pcl-*) and alone, three seeds, 30 epochs, one thread each, one
# after the other. What is finished is not run again, what was interrupted is continued.
set -euo pipefail
data=$1 output=$2
configs=$(python -c 'from kdvideo.paths import zoo_root; print(zoo_root() / "configs")')
export OMP_NUM_THREADS=1
mkdir -p "$output"

run() { # name, pretext, KEY VALUE ...
  local folder=$output/$1 config=$configs/pretrain/pcl_$2_r3d_10_ucf101mini.yaml
  shift 2
  grep -qs '"final"' "$folder/metrics.jsonl" && return # finished by an earlier call
  local resume=()
  [ -e "$folder/checkpoint.pt" ] && resume=(--resume)
  kdvideo train "${resume[@]}" --config-file "$config" DATA.ROOT "$data" OUTPUT_DIR "$folder" DATA.NUM_WORKERS 1 \
    SOLVER.EPOCHS 30 EVAL.PERIOD 30 "$@" 2>"$folder.log"
}

for seed in 0 1 2; do
  for pretext in vcp vcop rotnet; do
    run "pcl-$pretext.seed$seed" "$pretext" SEED "$seed"
    run "$pretext.seed$seed" "$pretext" SEED "$seed" CONTRAST.WEIGHT 0.0
  done
done
python "$(dirname "$0")/summarise_pretexts.py" "$output"
