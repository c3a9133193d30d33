#!/usr/bin/env bash
# kdvideo train under torchrun in a Slurm job, for sites that prefer sbatch to `kdvideo train --submit slurm`:
#
#   sbatch --nodes 4 --gpus-per-node 8 --time 24:00:00 tools/slurm_train.sh --config-file F KEY VALUE ...
#
# PYTHON is the interpreter (python), PROCESSES the processes a node (as many as there are GPUs, or one). Before the time
# limit the run is stopped between two steps, saved and put back into the queue; what was requeued goes on by itself.
#SBATCH --job-name=kdvideo
#SBATCH --ntasks-per-node=1
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR2@120
set -euo pipefail

nodes=${SLURM_JOB_NUM_NODES:?start this with sbatch}
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((20000 + SLURM_JOB_ID % 40000))

requeue=
stop() {
  requeue=yes
  scancel --signal=TERM "$SLURM_JOB_ID" # reaches torchrun, which hands it on, not this script
}
trap stop USR2

srun --kill-on-bad-exit=0 "${PYTHON:-python}" -m torch.distributed.run \
  --nnodes "$nodes" --nproc-per-node "${PROCESSES:-${SLURM_GPUS_ON_NODE:-1}}" \
  --rdzv-backend c10d --rdzv-endpoint "$first:$port" --rdzv-id "$SLURM_JOB_ID.${SLURM_RESTART_COUNT:-0}" \
  -m kdvideo.cli train "$@" &
child=$!
code=0
wait "$child" || code=$?
if [ -n "$requeue" ]; then
  wait "$child" || true # the trap interrupted the first wait
  exec scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
