#!/usr/bin/env bash
# bundle_test.sh BUILD: an archive of the build, unpacked elsewhere, runs with an empty environment, with the system's C library and
# with its own, and in a root folder that has no library but those of the archive.
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
cuda_libraries=$(ldd "$build/bin/step-bench" | sed -nE 's,.* => (.*)/lib(cudnn|cublas|nccl)[^/]*$,\1,p' | sort -u | paste -sd:)
# Threads that wait must not hold a core that others use.
clean() {
  env -i OMP_WAIT_POLICY=passive ${cuda_libraries:+RESIDUA_CUDA_LIBRARIES="$cuda_libraries"} "$@"
}

"$source_folder/tools/bundle" --build "$build" --output "$work/archive.tar.gz"
mkdir "$work/else where"
tar -xf "$work/archive.tar.gz" -C "$work/else where"
root="$work/else where/archive"

architectures=$(sed -n 's/^CMAKE_CUDA_ARCHITECTURES:[A-Z]*=//p' "$build/CMakeCache.txt")
if [[ $architectures != *';'* ]]; then
  (($(stat -c %s "$work/archive.tar.gz") < 40 << 20)) || fail "for one architecture the archive has $(stat -c %s "$work/archive.tar.gz") bytes"
fi
for library in ${cuda_libraries:+libcublasLt libcudnn libnvrtc}; do
  grep -q "^$library\.so\.[0-9]" "$root/lib/cuda-libraries" || fail "$library is not looked for: $(cat "$root/lib/cuda-libraries")"
done

if grep -q '^RESIDUA_HARDENED:[A-Z]*=ON$' "$build/CMakeCache.txt"; then
  "$source_folder/tests/install/hardened.sh" "$root"/libexec/*
fi

models=$(cd / && clean "$root/bin/train-imagenet" --list-models)
[[ $models == *resnet18* && $models == *plain20* ]] || fail "train-imagenet --list-models printed: $models"
ln -s "$root/bin/classify" "$work/link"
clean "$work/link" --help | grep -q 'Classifies images' || fail "a link to a program does not start it"

# Nothing that is in the archive may come from the system.
loaded=$(env -i LD_TRACE_LOADED_OBJECTS=1 "$root/libexec/train-imagenet")
for library in "$root"/lib/*.so*; do
  [[ $loaded != *" => "*"/${library##*/} "* || $loaded == *" => $root/"*"/${library##*/} "* ]] || fail "${library##*/} is the system's: $loaded"
done
for program in "$root"/libexec/*; do
  [[ $(readelf -d "$program" | sed -n 's/.*(R.*PATH).*\[\(.*\)\]/\1/p') == "\$ORIGIN/../lib" ]] || fail "${program##*/} looks for libraries elsewhere too: $(readelf -d "$program")"
done

# The newer C library of the two serves the archive's programs and the system's driver; the archive's own one does where the system
# has none that can be told.
cp /bin/cat "$root/libexec/probe"
cp "$root/bin/classify" "$root/bin/probe"
for system in older same newer musl; do
  mkdir "$work/$system"
  case $system in older) glibc=2.17 ;; newer) glibc=3.1 ;; *) glibc=$(cat "$root/lib/glibc-version") ;; esac
  if [[ $system == musl ]]; then echo 'exit 1'; else echo "echo glibc $glibc"; fi | sed '1i #!/bin/sh' >"$work/$system/getconf"
  chmod +x "$work/$system/getconf"
  maps=$(clean PATH="$work/$system:$PATH" "$root/bin/probe" /proc/self/maps)
  case $system in
    older | musl) [[ $maps == *"$root/lib/glibc/libc.so.6"* ]] || fail "an $system system's C library was taken: $maps" ;;
    *) [[ $maps == */libc.so.6* && $maps != *"$root/lib/glibc/"* ]] || fail "the archive's C library was taken on a system with the $system one: $maps" ;;
  esac
done
rm "$root"/{bin,libexec}/probe

# With either: a test, a training run whose curves the archive's own script draws, and a driver that is the system's.
if [[ -n $cuda_libraries ]]; then
  mkdir "$work/driver"
  c++ -shared -fPIC -xc++ - -o "$work/driver/libcuda.so.1" <<'CPP'
#include <pthread.h>
#include <cmath>
#include <cstdio>
__attribute__((constructor)) static void loaded() {
  pthread_t thread;
  pthread_create(&thread, nullptr, [](void* x) { return x; }, nullptr);
  pthread_join(thread, nullptr);
  std::fprintf(stderr, "the driver is loaded\n");
}
CPP
fi
for system in same older; do
  on_system() {
    clean PATH="$work/$system:$PATH" "$@"
  }
  ran=$(cd / && on_system "$root/bin/residua-tests" --gtest_filter='*OpForward*/add_*cpu*')
  [[ $ran =~ PASSED.*[1-9][0-9]*\ tests ]] || fail "no operation's test ran: $ran"
  (cd "$work" && on_system "$root/bin/train-imagenet" --dataset synthetic --synthetic-images 32 --model resnet20 -b 16 --iterations 2 --device cpu --output "run-$system" >log 2>&1) ||
    fail "training failed: $(cat "$work/log")"
  ! grep -q "$source_folder" "$work/log" || fail "the source tree was used: $(cat "$work/log")"
  if python3 -c 'import matplotlib' 2>/dev/null; then
    [[ -s $work/run-$system/curves.png ]] || fail "no curves were drawn on a system with the $system C library: $(cat "$work/log")"
    [[ -s $work/run-$system/report.html ]] || fail "no report was written on a system with the $system C library: $(cat "$work/log")"
  fi
  if [[ -n $cuda_libraries ]]; then
    message=$(on_system LD_LIBRARY_PATH="$work/driver" "$root/bin/train-imagenet" --dataset synthetic --device cuda --output "$work/none" 2>&1) && fail "it ran on a GPU that is not there"
    [[ $message == *'the driver is loaded'* ]] || fail "the driver of a system with the $system C library was not loaded: $message"
  fi
done

# A root folder that has no library but those of the archive. The launcher's shell and tools are started by the archive's loader.
bare=$work/bare
mkdir -p "$bare"/{bin,dev,tmp,lib64}
mv "$root" "$bare/archive"
root=$bare/archive
touch "$bare/dev/null"
for tool in sh readlink uname cat; do
  cp -L "$(command -v "$tool")" "$bare/bin/$tool"
  patchelf --set-interpreter /archive/lib/glibc/ld-linux-x86-64.so.2 --force-rpath --set-rpath /archive/lib/glibc "$bare/bin/$tool"
done
# Without the tests that take a GPU's libraries, the source or the build tree, a data set, /proc, /dev/full or a minute, or that
# start the program anew.
not_there='CudnnPlans.*:Golden/*:TrainImagenet.*:TrainActionsTest.*:Classify.*:KernelBench.*:DeviceFlag.*:PlotCurves.*:RealData.*:FashionMnist.*'
not_there+=':Trainer.*:*DeathTest.*:*AFullDisk*'
not_there+=':OnnxGolden.*:Extension.*:FileSystem.NothingElse*:Recipes.AreTheFiles*:*OfTheFirstFormat*:SettingsAlone.ThreadsAre*:*FuzzCorpus.*'
not_there+=':*SavedRuns.*:RunSaver.*:*SkippedSteps.*:TrainerSaving.*:Divergence.*:Deterministic.*:AllocationFaults.*:OperatorNew.*'
change_root=(chroot)
[[ $(id -u) == 0 ]] || change_root=(unshare --map-root-user chroot)
in_bare_root() {
  env -i OMP_WAIT_POLICY=passive "$(command -v "${change_root[0]}")" "${change_root[@]:1}" "$bare" "$@"
}
if in_bare_root /bin/cat /archive/LICENSE >"$work/out" 2>&1; then
  models=$(in_bare_root /archive/bin/train-imagenet --list-models 2>"$work/errors")
  [[ $models == *resnet18* && ! -s $work/errors ]] || fail "in a bare root folder train-imagenet --list-models printed: $models $(cat "$work/errors")"
  ran=$(in_bare_root /archive/bin/residua-tests --gtest_filter="-$not_there" --gtest_brief=1 2>&1) || fail "in a bare root folder: $ran"
  ran=$(sed -n 's/.*PASSED.* \([0-9]*\) tests.*/\1/p' <<<"$ran")
  ((ran > 500)) || fail "in a bare root folder only ${ran:-0} tests ran"
  in_bare_root /archive/bin/kernel-bench --device cpu --ceilings --seconds 0 >"$work/out" 2>&1 || fail "in a bare root folder: $(cat "$work/out")"

  # What is missing matters where there is a driver, and is found among Python's packages.
  echo libresidua_absent.so.1 >>"$root/lib/cuda-libraries"
  in_bare_root /archive/bin/classify --help >"$work/out" 2>&1 || fail "CUDA's libraries are asked for where there is no driver: $(cat "$work/out")"
  touch "$bare/dev/nvidiactl"
  status=0
  message=$(in_bare_root /archive/bin/classify --help 2>&1) || status=$?
  [[ $status == 2 && $message =~ ^classify:\ lib[A-Za-z_]+\.so\.[0-9]+\ was\ not\ found ]] || fail "exit $status: $message"
  packages=$bare/venv/lib/python3.99/site-packages/nvidia/absent/lib
  mkdir -p "$packages"
  while read -r library; do
    cp "$root/lib/absent/$library" "$packages/" 2>"$work/out" || touch "$packages/$library"
  done <"$root/lib/cuda-libraries"
  in_bare_root /bin/sh -c 'VIRTUAL_ENV=/venv /archive/bin/classify --help' >"$work/out" 2>&1 || fail "the libraries of Python's packages are not found: $(cat "$work/out")"
  rm "$bare/dev/nvidiactl"
  sed -i '$d' "$root/lib/cuda-libraries"
else
  printf 'bundle_test: not tried in a bare root folder, which takes root or user namespaces: %s\n' "$(cat "$work/out")"
fi

message=$("$root/tools/degradation" --preset smoke --report --output "$work/none" 2>&1) || true
[[ $message == *'nothing was started'* ]] || fail "tools/degradation: $message"

# The checks of a GPU say that there is none; rehearsed, each part runs that needs no PyTorch.
if [[ ! -e /dev/nvidia0 ]]; then
  status=0
  message=$("$root/tools/gpu-check" 2>&1) || status=$?
  [[ $status == 2 && $(wc -l <<<"$message") == 1 && $message == *'no usable NVIDIA GPU'* ]] || fail "gpu-check: exit $status: $message"
fi
export RESIDUA_CUDA_LIBRARIES=$cuda_libraries
status=0
(cd "$work" && "$root/tools/gpu-check" --rehearse --budget 900 >table 2>errors) || status=$?
((status == 0 || status == 3)) || fail "gpu-check: exit $status: $(cat "$work/table" "$work/errors")"
! grep -vE '^  (pytorch|compile) .* not run ' "$work/table" | grep -E ' (FAILED|not run|waiting|cut short) ' || fail "gpu-check: $(cat "$work/table")"
