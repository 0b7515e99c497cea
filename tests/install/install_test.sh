#!/usr/bin/env bash
# install_test.sh BUILD: installs the build elsewhere. Installed files must not name the source or the build folder, a project that
# finds the package must be able to include every header, and the examples must build and run.
set -euo pipefail
source_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_WAIT_POLICY=passive MPLCONFIGDIR=$work

fail() {
  printf 'install_test: %s\n' "$1" >&2
  exit 1
}

# Runs a command, and shows what it printed only where it failed.
quietly() {
  "$@" >"$work/log" 2>&1 || {
    cat "$work/log" >&2
    fail "failed: $*"
  }
}

prefix=$work/prefix
quietly cmake --install "$build" --prefix "$prefix"
for folder in "$source_folder" "$build"; do
  named=$(grep -rlF "$folder/" "$prefix" || true)
  [[ -z $named ]] || fail "$folder is named in: $named"
done

# The loader finds CUDA's libraries where the build did.
libraries=$(ldd "$build/bin/step-bench" | sed -nE 's,.* => (.*)/lib(cudnn|cublas|nccl)[^/]*$,\1,p' | sort -u | paste -sd:)
[[ $libraries != *"$source_folder"* ]] || export LD_LIBRARY_PATH=$libraries
for program in train-imagenet classify export-onnx pack-imagenet verify-imagenet step-bench allreduce-bench kernel-bench loader-bench; do
  version=$(cd / && "$prefix/bin/$program" --version)
  [[ $version =~ ^$program\ [0-9]+\.[0-9]+\.[0-9]+ ]] || fail "$program --version printed: $version"
done
quietly "$prefix/bin/train-imagenet" --dataset synthetic --model resnet20 --crop-size 32 --iterations 2 -b 8 --output "$work/run"
[[ -s $work/run/curves.png ]] || fail "train-imagenet drew no curves: $(cat "$work/log")"
[[ -s $work/run/report.html ]] || fail "train-imagenet wrote no report: $(cat "$work/log")"
"$prefix/share/residua/tools/degradation" --help >"$work/help" || fail "tools/degradation --help failed"
grep -qF "default: $prefix/bin" <(tr -d '\n' <"$work/help" | tr -s ' ') || fail "tools/degradation does not find the programs: $(cat "$work/help")"

# CUDA's libraries that tools/setup put into the source folder are named by nothing that is installed.
cached() { sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"; }
[[ $(cached RESIDUA_HARDENED) != ON ]] || "$source_folder/tests/install/hardened.sh" "$prefix"/bin/*
own_cuda=()
if [[ $(cached CUDNN_LIBRARY) == "$source_folder"/* ]]; then
  own_cuda=("-DCUDNN_LIBRARY=$(cached CUDNN_LIBRARY)" "-DCUDNN_INCLUDE_DIR=$(cached CUDNN_INCLUDE_DIR)" "-DCUDAToolkit_ROOT=$source_folder/.venv/cuda")
fi
if [[ $(cached NCCL_LIBRARY) == "$source_folder"/* ]]; then
  own_cuda+=("-DNCCL_LIBRARY=$(cached NCCL_LIBRARY)" "-DNCCL_INCLUDE_DIR=$(cached NCCL_INCLUDE_DIR)")
fi
configure() {
  quietly cmake -S "$1" -B "$2" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$prefix" "${own_cuda[@]}"
}
configure "$source_folder/tests/install" "$work/headers"
quietly cmake --build "$work/headers"

cp -r "$source_folder/docs/examples" "$work/examples"
configure "$work/examples" "$work/built"
quietly cmake --build "$work/built"
cd "$work"
# CIFAR-10's layout with few images, of random pixels.
python3 - "$work/cifar" <<'PYTHON'
import pathlib, random, sys

folder, draw = pathlib.Path(sys.argv[1]), random.Random(1)
folder.mkdir()
for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
    (folder / name).write_bytes(b"".join(bytes([i % 10]) + draw.randbytes(3072) for i in range(40)))
(folder / "batches.meta.txt").write_text("".join(f"class {i}\n" for i in range(10)))
# A gray photo, as a portable pixmap.
(folder / "photo.ppm").write_bytes(b"P6 40 40 255\n" + bytes([128]) * 4800)
PYTHON
settings=(iterations=4 batch-size=32 log-every=2)
trained=$(built/train_cifar cifar model=resnet20 output=runs/cifar "${settings[@]}")
error=$(sed -n 's/^validation error \([0-9.]* %\)$/\1/p' <<<"$trained" | tail -n 1)
[[ -n $error ]] || fail "train_cifar printed: $trained"
evaluated=$(built/evaluate_folder runs/cifar/last.safetensors cifar)
[[ $evaluated == "40 images: top-1 error $error,"* ]] || fail "train_cifar ended at $error, evaluate_folder printed: $evaluated"
classified=$(built/classify_photo runs/cifar/last.safetensors cifar/photo.ppm)
[[ $(grep -c '%  class [0-9]$' <<<"$classified") == 5 ]] || fail "classify_photo printed: $classified"
quietly built/train_own_model cifar model=stack4 stack-width=8 output=runs/own "${settings[@]}"
! built/train_cifar cifar model=stack4 output=runs/unknown 2>"$work/log" || fail "train_cifar knows the model of another program"
computed=$(built/own_op) || fail "own_op printed: $computed"
if [[ -f $prefix/lib/libresidua_cuda.a ]]; then
  wanted='device cuda:0: SiluForward has no CUDA kernel'
else
  wanted='device cuda:0 was asked for, but this build has no CUDA'
fi
[[ $computed == *"$wanted"* ]] || fail "own_op printed: $computed"
