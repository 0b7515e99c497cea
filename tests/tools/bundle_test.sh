#!/usr/bin/env bash
# bundle_test.sh BUILD: an archive of the build, unpacked elsewhere, runs with an empty environment.
set -euo pipefail
source_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
  printf 'bundle_test: %s\n' "$1" >&2
  exit 1
}

# Where this build has CUDA's libraries, which the archive has not.
cuda_libraries=$(ldd "$build/bin/step-bench" | sed -nE 's,.* => (.*)/lib(cudart|cudnn|cublas)[^/]*$,\1,p' | sort -u | paste -sd:)
clean() {
  env -i ${cuda_libraries:+RESIDUA_CUDA_LIBRARIES="$cuda_libraries"} "$@"
}

"$source_folder/tools/bundle" --build "$build" --output "$work/archive.tar.gz"
mkdir "$work/else where"
tar -xf "$work/archive.tar.gz" -C "$work/else where"
root="$work/else where/archive"

for library in ${cuda_libraries:+libcudart libcublasLt libcudnn libnvrtc}; do
  grep -q "^$library\.so\.[0-9]" "$root/lib/cuda-libraries" || fail "$library is not looked for: $(cat "$root/lib/cuda-libraries")"
done

models=$(cd / && clean "$root/bin/train-imagenet" --list-models)
[[ $models == *resnet18* && $models == *plain20* ]] || fail "train-imagenet --list-models printed: $models"
ln -s "$root/bin/classify" "$work/link"
clean "$work/link" --help | grep -q 'Names what images show' || fail "a link to a program does not start it"
ran=$(cd / && clean "$root/bin/residua-tests" --gtest_filter='*OpForward*/add_*cpu*')
[[ $ran =~ PASSED.*[1-9][0-9]*\ tests ]] || fail "no operation's test ran: $ran"

# Nothing that is in the archive may come from the system.
loaded=$(env -i LD_TRACE_LOADED_OBJECTS=1 "$root/libexec/train-imagenet")
for library in "$root"/lib/*.so*; do
  [[ $loaded != *" => "*"/${library##*/} "* || $loaded == *" => $root/"*"/${library##*/} "* ]] || fail "${library##*/} is the system's: $loaded"
done

for program in "$root"/libexec/*; do
  [[ $(readelf -d "$program" | sed -n 's/.*(R.*PATH).*\[\(.*\)\]/\1/p') == "\$ORIGIN/../lib" ]] || fail "${program##*/} looks for libraries elsewhere too: $(readelf -d "$program")"
done

# A training run, whose curves are drawn by the archive's own script.
(cd "$work" && clean "$root/bin/train-imagenet" --dataset synthetic --synthetic-images 32 --model resnet20 -b 16 --iterations 2 --device cpu --output run >log 2>&1) ||
  fail "training failed: $(cat "$work/log")"
! grep -q "$source_folder" "$work/log" || fail "the source tree was used: $(cat "$work/log")"

# A system that is too old is told so in one line.
echo 99.1 >"$root/lib/glibc-version"
status=0
message=$(env -i "$root/bin/train-imagenet" --list-models 2>&1) || status=$?
[[ $status == 2 && $message == *'needs glibc 99.1 or newer, and this system has 2.'* ]] || fail "exit $status: $message"
echo 2.36 >"$root/lib/glibc-version"

# So is one that lacks a CUDA library, and one that has it in a package of Python's is not.
cp "$root/lib/cuda-libraries" "$work/cuda-libraries"
echo libresidua_absent.so.1 >>"$root/lib/cuda-libraries"
status=0
message=$(clean "$root/bin/classify" --help 2>&1) || status=$?
[[ $status == 2 && $message == *'libresidua_absent.so.1 was not found'* ]] || fail "exit $status: $message"
mkdir -p "$work/venv/lib/python3.99/site-packages/nvidia/absent/lib"
touch "$work/venv/lib/python3.99/site-packages/nvidia/absent/lib/libresidua_absent.so.1"
clean VIRTUAL_ENV="$work/venv" "$root/bin/classify" --help >/dev/null || fail "a library of a Python package is not found"

# The checks of a GPU say that there is none; rehearsed on the CPU, each part runs that needs no PyTorch.
if [[ ! -e /dev/nvidia0 ]]; then
  status=0
  message=$("$root/tools/gpu-check" 2>&1) || status=$?
  [[ $status == 2 && $(wc -l <<<"$message") == 1 && $message == *'no NVIDIA GPU'* ]] || fail "gpu-check: exit $status: $message"
fi
cp "$work/cuda-libraries" "$root/lib/cuda-libraries"
export RESIDUA_CUDA_LIBRARIES=$cuda_libraries
(cd "$work" && "$root/tools/gpu-check" --device cpu --only a,b,c,d,e,f,h >table 2>errors) || fail "gpu-check: $(cat "$work/table" "$work/errors")"
(($(grep -c ' passed ' "$work/table") == 10)) || fail "gpu-check: $(cat "$work/table")"
