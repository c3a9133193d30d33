#!/usr/bin/env bash
# The runs behind docs/results/study.md. Usage: docs/results/run_study.sh DATA_ROOT OUTPUT
#
# Proxies of 64 pixels, the selection on held-out groups, then the study; what is finished is not run again.
set -euo pipefail
data=$1 output=$2
configs=$(python -c 'from kdvideo.paths import zoo_root; print(zoo_root() / "configs" / "study")')

[ -d "$output/proxies" ] || kdvideo data prepare "$data" "$output/proxies" --short-side 64
kdvideo study run "$configs/ucf101mini_selection.yaml" --data "$output/proxies" --output "$output/selection"
kdvideo study report "$configs/ucf101mini_selection.yaml" --output "$output/selection"
kdvideo study run "$configs/ucf101mini.yaml" --data "$output/proxies" --output "$output/study"
kdvideo study probe "$configs/ucf101mini.yaml" --output "$output/study"
kdvideo study report "$configs/ucf101mini.yaml" --output "$output/study"
