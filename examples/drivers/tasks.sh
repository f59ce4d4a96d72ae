#!/usr/bin/env bash
# One choice by N tasks on this machine, two at a time: the loop that every other driver here does somewhere else.
#
#   examples/drivers/tasks.sh 8 'part-*.npy' --keep 1% --method k-center --out kept.npy
set -euo pipefail
tasks="$1"
shift
gleaner="${GLEANER:-gleaner}"
for word in "$@"; do # the word behind --out
  if [ "${before:-}" = --out ]; then out="$word"; fi
  before="$word"
done

while :; do
  seq "$tasks" | xargs -P 2 -I{} "$gleaner" select "$@" --task "{}/$tasks" --quiet
  # 3: some tasks are to look once more; those that need not end at once.
  code=0
  "$gleaner" merge "${out%.*}.parts" || code=$?
  test "$code" = 3 || exit "$code"
done
