#!/bin/bash
# Trains on the processors of one machine, or of several: docs/examples/ranks/mpirun.sh PHOTOS [node1:2,node2:2]
# Each rank gets its part of the machine's processors. All machines need the same program, data and output folder.
# PATH must lead to train-imagenet: export PATH=/path/to/residua/build/cpu/bin:$PATH
set -euo pipefail
photos=${1:?usage: mpirun.sh PHOTOS [node1:2,node2:2]}
where=(-n "${RANKS:-2}")
[[ $# -lt 2 ]] || where=(--host "$2")

# The ranks get a minute to save their state after SIGTERM.
exec mpirun "${where[@]}" --bind-to none --mca odls_base_sigkill_timeout 60 \
  train-imagenet "$photos" --device cpu --output runs/ranks --resume auto
