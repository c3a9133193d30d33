#!/usr/bin/env bash
# The runs behind docs/results/precision.md. Usage: docs/results/run_precision.sh DATA_ROOT OUTPUT
#
# r3d_10 of width 16 by PCL(VCP), 30 epochs, in fp32 and in bf16, three seeds, one thread, one after the other. What is
# finished is not run again, what was interrupted is continued. The fp32 runs are pcl-vcp.seed* of run_pretexts.sh.
set -euo pipefail
data=$1 output=$2
config=$(python -c 'from kdvideo.paths import zoo_root; print(zoo_root() / "configs")')/pretrain/pcl_vcp_r3d_10_ucf101mini.yaml
export OMP_NUM_THREADS=1
mkdir -p "$output"

for seed in 0 1 2; do
  for amp in fp32 bf16; do
    folder=$output/$amp.seed$seed
    grep -qs '"final"' "$folder/metrics.jsonl" && continue
    resume=()
    [ -e "$folder/checkpoint.pt" ] && resume=(--resume)
    kdvideo train "${resume[@]}" --config-file "$config" DATA.ROOT "$data" OUTPUT_DIR "$folder" DATA.NUM_WORKERS 1 \
      SOLVER.EPOCHS 30 EVAL.PERIOD 30 SEED $seed SOLVER.AMP $amp 2>"$folder.log"
  done
done
python "$(dirname "$0")/summarise_ways.py" "$output" fp32 bf16
