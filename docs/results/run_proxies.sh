#!/usr/bin/env bash
# The runs behind docs/results/proxies.md. Usage: docs/results/run_proxies.sh DATA_ROOT OUTPUT
#
# Proxies of ucf101-mini: one `kdvideo data prepare` killed twice and continued, one left alone and timed. Then r3d_10 of
# width 16, 20 epochs, on the videos themselves and on the proxies, five seeds each, one thread. Finished runs are not run
# again.
set -euo pipefail
data=$1 output=$2
here=$(cd "$(dirname "$0")" && pwd)
config=$(python -c 'from kdvideo.paths import zoo_root; print(zoo_root() / "configs")')/pretrain/pcl_vcp_r3d_10_ucf101mini.yaml
export OMP_NUM_THREADS=1
mkdir -p "$output"

kill_at() { # number of proxies
  kdvideo data prepare "$data" "$output/killed" 2>/dev/null &
  until [ "$(find "$output/killed" -name '*.mp4' ! -name '.*' 2>/dev/null | wc -l)" -ge "$1" ]; do sleep 0.05; done
  kill -9 $!
  wait $! 2>/dev/null || true
}

if [ ! -e "$output/checked.txt" ]; then
  kill_at 60
  kill_at 140
  kdvideo data prepare "$data" "$output/killed"
  kdvideo data check "$data" --manifest "$output/sources.jsonl" >"$output/checked.txt"
fi
[ -e "$output/prepare.txt" ] || kdvideo data prepare "$data" "$output/proxies" | tee "$output/prepare.txt"

for seed in 0 1 2 3 4; do
  for kind in sources proxies; do
    folder=$output/$kind.seed$seed root=$data
    [ $kind = proxies ] && root=$output/proxies
    grep -qs '"final"' "$folder/metrics.jsonl" && continue
    resume=()
    [ -e "$folder/checkpoint.pt" ] && resume=(--resume)
    kdvideo train "${resume[@]}" --config-file "$config" DATA.ROOT "$root" OUTPUT_DIR "$folder" SEED $seed \
      SOLVER.EPOCHS 20 EVAL.PERIOD 5 DATA.NUM_WORKERS 1 2>"$folder.log"
  done
done
python "$here/summarise_proxies.py" "$output"
