#!/bin/bash
# Trains on the GPUs of one machine, without MPI: docs/examples/ranks/torchrun.sh PHOTOS
# torchrun comes with PyTorch, which the ranks themselves do not use. Not run on a GPU.
# PATH must lead to train-imagenet: export PATH=/path/to/residua/build/cuda/bin:$PATH
set -euo pipefail
exec torchrun --no-python --nproc-per-node "${GPUS:-8}" \
  train-imagenet "${1:?usage: torchrun.sh PHOTOS}" --device cuda --output runs/ranks --resume auto
