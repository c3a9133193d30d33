#!/usr/bin/env bash
# All that wants a GPU, in at most 9 minutes; the figures of docs/gpu.md.
#
#   benchmarks/gpu.sh DATA=FOLDER [OUT=FOLDER] [--toy] [PHASE[=SECONDS] ...]
#
# Phases, in the order in which they run where none is named, each with its time-out in seconds:
#
#   facts    the machine, `kdvideo doctor`, rates of matrix products and copies         -> facts.jsonl
#   steps    benchmarks/train_step.py: three networks and a small one, eager, compiled  -> steps.jsonl, kernels.txt
#   tests    the fast tests that mean something on a GPU, and tests/gpu                 -> tests.jsonl
#   feed     benchmarks/end_to_end.py, benchmarks/plain_train.py                        -> feed.jsonl
#   resume   benchmarks/resume.py                                                       -> resume.jsonl
#   study    `kdvideo study run` and `report`                                           -> study.json, study.tar.gz
#
# Every result is written as soon as it is there, so a phase that is cut off keeps what it has. Files go to OUT
# (output/gpu), what the phases say to OUT/log.txt; runs, cached frames and compiled code to WORK, a folder that is
# removed at the end unless it is given. DATA has the proxies, in folders whose names contain 72 and 128
# (short sides), or is one dataset itself; AVI, if set, is a dataset of source videos. STUDY is the study's yaml,
# STUDY_OPTIONS further options of `kdvideo study run`. PYTHON (python3) needs no installed kdvideo. All of these are
# environment variables, which may be given as arguments.
#
# --toy rehearses all of it on a CPU, with a generated dataset and tiny networks.
set -u
cd "$(dirname "$0")/.." || exit 1
chosen=()
for argument in "$@"; do
    if [[ $argument =~ ^[A-Z_]+= ]]; then
        export "${argument?}"
    else
        chosen+=("$argument")
    fi
done
set -- "${chosen[@]}"
PYTHON=${PYTHON:-python3}
OUT=${OUT:-output/gpu}
TOTAL=${TOTAL:-540}
PROCESSES=${PROCESSES:-8}
TOY=${TOY:-}
export PYTHON OUT PROCESSES
if [ -z "${WORK:-}" ]; then
    WORK=$(mktemp -d)
    trap 'rm -rf "$WORK"' EXIT
fi
export WORK KDVIDEO_HOME=$WORK/home TORCHINDUCTOR_CACHE_DIR=$WORK/inductor
export PYTHONPATH=.${PYTHONPATH:+:$PYTHONPATH}

declare -A LIMIT=([facts]=40 [steps]=155 [tests]=115 [feed]=100 [resume]=50 [study]=80)
ORDER=(facts steps tests feed resume study)
TESTS="tests/losses tests/tasks tests/models tests/engine tests/end_to_end tests/evaluation tests/inference"

find_data() {  # a folder of the proxies with this short side
    local found
    found=$(find "${DATA:-/nowhere}" -maxdepth 1 -type d -name "*$1*" 2>/dev/null | sort | head -n 1)
    echo "${found:-${DATA:-}}"
}

facts() {
    nvidia-smi || echo "no nvidia-smi"
    $PYTHON benchmarks/device_rates.py --json "$OUT/facts.jsonl"
    $PYTHON -m kdvideo.cli doctor
}

steps() {
    local step="$PYTHON benchmarks/train_step.py --json $OUT/steps.jsonl"
    if [ -n "$TOY" ]; then
        $step --one-process --backbones r3d_10 --tuples 2 --width 4 --size 32 --length 8 --steps 3 \
            --cases plain online --profile "$OUT/kernels.txt"
        return
    fi
    step="$step --device cuda"
    $step --profile "$OUT/kernels.txt"
    $step --backbones r3d_10 r2plus1d_10 --width 32 --size 64 --length 8 --steps 100 --cases online replay alone
    $step --backbones r3d_10 --width 32 --size 64 --length 8 --steps 100 --cases online replay \
        --set SOLVER.CUDA_GRAPH True
    $step --compile on --cases online replay
    $step --backbones r3d_10 --width 32 --size 64 --length 8 --steps 100 --cases online replay --compile on
    $step --cases online replay --no-deterministic
    $step --backbones r3d_10 --cases online --tuples 48
    $step --backbones r3d_10 --cases online --amp fp16
}

tests() {
    export KDVIDEO_TEST_LINES=$OUT/tests.jsonl OMP_NUM_THREADS=2
    local chosen=$TESTS
    [ -z "$TOY" ] || chosen="tests/losses/test_batch_nce.py"
    # shellcheck disable=SC2086
    PYTHONPATH=$PYTHONPATH:benchmarks $PYTHON -m pytest -p pytest_lines -n "$PROCESSES" --dist worksteal \
        -m "not slow" --timeout 100 -p no:cacheprovider --tb short tests/gpu $chosen
}

feed() {
    local toy=()
    [ -z "$TOY" ] || toy=(--size 32 --length 8 --repeat 2 --seconds 3 --steps 3 --set DATA.SHORT_SIDE 36
        PRETEXT.INTERVAL 2)
    if [ -n "$TOY" ]; then
        $PYTHON benchmarks/end_to_end.py "$(find_data 128)" --json "$OUT/feed.jsonl" --width 4 --tuples 4 "${toy[@]}"
        $PYTHON benchmarks/plain_train.py "$(find_data 128)" --json "$OUT/feed.jsonl" --batch 2 --backbone r3d_10 \
            "${toy[@]}" MODEL.WIDTH 4
        return
    fi
    $PYTHON benchmarks/end_to_end.py "$(find_data 128)" --json "$OUT/feed.jsonl" --seconds 7 --cases worker resident
    $PYTHON benchmarks/plain_train.py "$(find_data 128)" --json "$OUT/feed.jsonl" --seconds 7
    $PYTHON benchmarks/end_to_end.py "$(find_data 128)" --json "$OUT/feed.jsonl" --seconds 7 \
        --cases device cache cache_device
    [ -z "${AVI:-}" ] || $PYTHON benchmarks/end_to_end.py "$AVI" --json "$OUT/feed.jsonl" --seconds 7 --cases worker device
}

resume() {
    local settings=(MODEL.WIDTH 32 CLIP.SIZE 64 CLIP.LENGTH 8 DATA.SHORT_SIDE 72 DATA.NUM_WORKERS 2)
    [ -z "$TOY" ] || settings=(MODEL.WIDTH 4 CLIP.SIZE 32 CLIP.LENGTH 8 DATA.SHORT_SIDE 36 PRETEXT.INTERVAL 2
        SOLVER.BATCH_SIZE 4 DATA.NUM_WORKERS 0)
    $PYTHON benchmarks/resume.py "$(find_data 72)" --json "$OUT/resume.jsonl" --set "${settings[@]}"
}

study() {
    local runs=$WORK/runs plan=${STUDY:-model_zoo/configs/study/ucf101mini_gpu.yaml}
    [ -z "$TOY" ] || plan=$WORK/toy_study.yaml
    # The runs get all but the last 15 seconds; a run that is cut off is continued by the next call.
    # shellcheck disable=SC2086
    timeout "$((PHASE_SECONDS - 15))" $PYTHON -m kdvideo.cli study run "$plan" --data "$(find_data 72)" \
        --output "$runs" ${STUDY_OPTIONS:-}
    $PYTHON -m kdvideo.cli study report "$plan" --output "$runs" --to "$runs/report" --seeds finished ||
        $PYTHON -m kdvideo.cli study report "$plan" --output "$runs" --to "$runs/report"
    [ ! -f "$runs/report/summary.json" ] || cp "$runs/report/summary.json" "$OUT/study.json"
    local packed
    packed=$(realpath "$OUT")/study.tar.gz
    cd "$runs" || return
    find . \( -name metrics.jsonl -o -name environment.json -o -name config.yaml -o -path '*/report/*' \) \
        -type f -print0 | tar --null -czf "$packed" -T -
}

make_toy() {  # a generated dataset and a study of two runs
    export DATA=$WORK/toy
    PROCESSES=1 TOTAL=280
    [ -d "$DATA" ] || $PYTHON - "$DATA" <<'PYTHON_END'
import sys
from pathlib import Path
from kdvideo.data.synthetic import SyntheticConfig, write_synthetic_ucf101

config = SyntheticConfig(train_groups=2, test_groups=1, clips_per_group=1, min_frames=64, max_frames=66)
write_synthetic_ucf101(Path(sys.argv[1]), config)
PYTHON_END
    cat > "$WORK/toy_study.yaml" <<YAML_END
BASE: $PWD/model_zoo/configs/base/ucf101mini.yaml
CONFIG:
  MODEL: {WIDTH: 4}
  CLIP: {LENGTH: 8, SIZE: 32}
  PRETEXT: {INTERVAL: 2}
  DATA: {SHORT_SIDE: 36, NUM_WORKERS: 0}
  SOLVER: {BATCH_SIZE: 6}
  EVAL: {TUPLES_PER_VIDEO: 1, CLIPS_PER_VIDEO: 1}
ARCHITECTURES: [r3d_10]
SEEDS: [0]
EPOCHS: 3
CONTROLS: false
SETTINGS:
  paper: {TEACHER_EPOCHS: 3, CONFIG: {TEACHER: {REPLAY: true}}}
YAML_END
}

if [ "${1:-}" = "--phase" ]; then  # a phase, in the process that its time-out ends
    "$2"
    exit
fi
if [ "${1:-}" = "--toy" ]; then
    shift
    export TOY=1
fi
mkdir -p "$OUT"
[ -z "$TOY" ] || make_toy
[ $# -gt 0 ] || set -- "${ORDER[@]}"
for asked in "$@"; do
    name=${asked%%=*}
    limit=${LIMIT[$name]:-}
    [ -n "$limit" ] || { echo "phase $name is unknown: choose of ${ORDER[*]}" >&2; exit 2; }
    [ "$asked" = "$name" ] || limit=${asked#*=}
    left=$((TOTAL - SECONDS))
    [ "$limit" -le "$left" ] || limit=$left
    [ "$limit" -gt 5 ] || { echo "{\"phase\": \"$name\", \"skipped\": \"no time left\"}" | tee -a "$OUT/facts.jsonl"; continue; }
    started=$SECONDS
    echo "== $name, at most $limit s" | tee -a "$OUT/log.txt"
    PHASE_SECONDS=$limit timeout --kill-after 5 "$limit" bash "$0" --phase "$name" 2>&1 | tee -a "$OUT/log.txt"
    code=${PIPESTATUS[0]}
    echo "{\"phase\": \"$name\", \"seconds\": $((SECONDS - started)), \"limit\": $limit, \"exit\": $code}" |
        tee -a "$OUT/facts.jsonl"
done
