#!/usr/bin/env bash
# The runs behind docs/results/bank_rows.md. Usage: docs/results/run_bank_rows.sh DATA_ROOT OUTPUT
#
# r3d_10 of width 16 by PCL(VCP), 30 epochs, with memory banks of float32 and of float16, three seeds, one thread each, the
# two of a seed side by side. What is finished is not run again, what was interrupted is continued.
set -euo pipefail
data=$1 output=$2
here=$(dirname "$0")
config=$(python -c 'from kdvideo.paths import zoo_root; print(zoo_root() / "configs")')/pretrain/pcl_vcp_r3d_10_ucf101mini.yaml
export OMP_NUM_THREADS=1
mkdir -p "$output"

run() { # rows, contrast, seed
  local folder=$output/$1.seed$3 resume=()
  grep -qs '"final"' "$folder/metrics.jsonl" && return
  [ -e "$folder/checkpoint.pt" ] && resume=(--resume)
  kdvideo train "${resume[@]}" --import "$here/float32_banks.py" --config-file "$config" DATA.ROOT "$data" \
    OUTPUT_DIR "$folder" DATA.NUM_WORKERS 1 SOLVER.EPOCHS 30 EVAL.PERIOD 30 SEED "$3" CONTRAST.NAME "$2" 2>"$folder.log"
}

for seed in 0 1 2; do
  run float32 bank_nce_float32 $seed &
  run float16 bank_nce $seed
  wait $!
done
python "$here/summarise_ways.py" "$output" float32 float16
