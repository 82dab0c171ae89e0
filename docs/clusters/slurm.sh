#!/bin/bash
# One training run on several nodes. Submit it with: sbatch docs/clusters/slurm.sh
# Change: partition, nodes, GPUs, cores, time, paths.
#SBATCH --job-name=stem
#SBATCH --partition=gpu
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH --mem=0
#SBATCH --exclusive
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:TERM@300
set -euo pipefail

data=/shared/songs
run=/shared/runs/voice
source /shared/stem/.venv/bin/activate

# Without a token, anyone who can reach the Ray cluster can run programs as you. The token is stored
# in the home directory, which all nodes share.
export RAY_AUTH_MODE=token
(umask 077 && ray get-auth-token --generate > /dev/null)
# Socket paths must be short, and /tmp/ray may belong to another user.
export RAY_TMPDIR=/tmp/stem-$SLURM_JOB_ID
mkdir -p "$RAY_TMPDIR"
trap 'rm -rf "$RAY_TMPDIR"' EXIT

# This script runs on the first node of the job, which becomes the head node. Slurm stops all
# processes when the job ends; "ray stop" would also stop Ray in your other jobs.
export RAY_ADDRESS=$(python -c 'import ray; print(ray.util.get_node_ip_address())'):6379
ray start --head --port=6379 --num-cpus="$SLURM_CPUS_PER_TASK"
others=$((SLURM_JOB_NUM_NODES - 1))
if ((others)); then
  srun --nodes="$others" --ntasks="$others" --exclude="$SLURMD_NODENAME" \
    --cpus-per-task="$SLURM_CPUS_PER_TASK" \
    bash -c 'mkdir -p "$RAY_TMPDIR"
      trap "rm -rf \"$RAY_TMPDIR\"" EXIT
      ray start --address="$RAY_ADDRESS" --num-cpus="$SLURM_CPUS_PER_TASK" --block' &
fi

resume=()
if [[ -e $run/last.safetensors ]]; then resume=(--resume); fi
stem train --cluster --workers "$((SLURM_JOB_NUM_NODES * SLURM_GPUS_ON_NODE))" --wait 300 \
  --recipe melroformer --data "$data" --output "$run" "${resume[@]}" &
training=$!

# Five minutes before the time limit Slurm sends SIGTERM: save a checkpoint and requeue the job.
out_of_time=
trap 'out_of_time=yes; kill -TERM "$training"' TERM
code=0
wait "$training" || code=$?
if [[ $out_of_time ]]; then
  wait "$training" || true
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
