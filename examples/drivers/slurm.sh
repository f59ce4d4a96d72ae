#!/usr/bin/env bash
# One choice by an array of Slurm jobs. Every round is an array and a job that merges; where tasks are to look once more, that
# job submits the next round. Files and output lie in a folder that all nodes see; start it there.
#
#   examples/drivers/slurm.sh 64 'part-*.npy' --keep 1% --method convex --out kept.npy
#
# SBATCH_... variables (partition, account, time) are heard as always.
set -euo pipefail
tasks="$1"
shift
export GLEANER="${GLEANER:-gleaner}"
script="$(realpath "${BASH_SOURCE[0]}")"

if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then
  exec "$GLEANER" select "$@" --task "$SLURM_ARRAY_TASK_ID/$tasks"
fi

for word in "$@"; do # the word behind --out
  if [ "${before:-}" = --out ]; then out="$word"; fi
  before="$word"
done

if [ -n "${SLURM_JOB_ID:-}" ] && [ "${MERGE:-}" = yes ]; then
  code=0
  "$GLEANER" merge "${out%.*}.parts" || code=$?
  test "$code" = 3 || exit "$code"
fi

# A script is copied when it is submitted, so the job is a line that starts this one.
line() { printf '%q ' "$script" "$tasks" "$@"; }
array="$(MERGE=no sbatch --parsable --requeue --array="1-$tasks" --job-name=gleaner-select --wrap "$(line "$@")")"
MERGE=yes sbatch --parsable --dependency="afterok:$array" --kill-on-invalid-dep=yes --job-name=gleaner-merge --wrap "$(line "$@")"
