#pragma once

#include <omp.h>

#include <dnnl.hpp>
#include <optional>

#include "core/base/dtype.h"
#include "core/base/error.h"
#include "core/base/host_memory.h"
#include "core/cpu/stream.h"

/// What the CPU device's convolution and matmul share for oneDNN.
namespace residua::cpu {

/// oneDNN 2.6.3 crashes in convolutions with more threads than about this.
inline constexpr int kMostThreads = 1024;

inline dnnl::engine& onednn_engine() {
  static dnnl::engine engine = [] {
    if (omp_get_max_threads() > kMostThreads) {
      fail_usage("{} OpenMP threads, wanted at most {}: set OMP_NUM_THREADS lower", omp_get_max_threads(), kMostThreads);
    }
    return dnnl::engine(dnnl::engine::kind::cpu, 0);
  }();
  return engine;
}

inline dnnl::stream& onednn_stream() {
  thread_local dnnl::stream stream(onednn_engine());
  return stream;
}

/// Whether oneDNN has instructions for this type. Other types are computed in f32, because emulated bf16 is slower than f32.
inline bool onednn_native(DType dtype) {
  static const bool bf16 = [] {
    switch (dnnl::get_effective_cpu_isa()) {
      case dnnl::cpu_isa::avx512_core_bf16:
      case dnnl::cpu_isa::avx512_core_amx: return true;
#if DNNL_VERSION_MAJOR >= 3
      case dnnl::cpu_isa::avx512_core_fp16:
      case dnnl::cpu_isa::avx512_core_amx_fp16: return true;
#endif
      default: return false;
    }
  }();
  return dtype == DType::f32 || (dtype == DType::bf16 && bf16);
}

/// Whether oneDNN uses AMX.
inline bool onednn_has_amx() {
  const dnnl::cpu_isa isa = dnnl::get_effective_cpu_isa();
#if DNNL_VERSION_MAJOR >= 3
  return isa == dnnl::cpu_isa::avx512_core_amx || isa == dnnl::cpu_isa::avx512_core_amx_fp16;
#else
  return isa == dnnl::cpu_isa::avx512_core_amx;
#endif
}

/// Whether bf16 products are faster than f32 products. With AMX they are, by far. Without it, AMD's vdpbf16ps computes twice
/// the products of an FMA in the same time, but Intel's only half (measured on a Sapphire Rapids core: one every 0.73 ns
/// against 0.18 ns).
inline bool bf16_multiplies_faster() {
  static const bool faster = [] {
#ifdef RESIDUA_X86_64
    __builtin_cpu_init();
    return onednn_has_amx() || __builtin_cpu_is("intel") == 0;
#else
    return true;
#endif
  }();
  return faster;
}

/// Throws OutOfMemory if that is oneDNN's error.
inline void check_memory(const dnnl::error& error) {
  if (error.status == dnnl_out_of_memory) {
    throw OutOfMemory(
        fmt::format("out of memory on cpu: {}; use a smaller batch or crop size", describe_shortage(0, host_memory())));
  }
}

inline dnnl::memory::data_type onednn_type(DType dtype) {
  switch (dtype) {
    case DType::f32: return dnnl::memory::data_type::f32;
    case DType::bf16: return dnnl::memory::data_type::bf16;
    default: fail("oneDNN does not compute in {}", name(dtype));
  }
}

/// oneDNN takes inputs as non-const pointers but does not write to them.
inline dnnl::memory onednn_memory(const dnnl::memory::desc& desc, const void* data) {
  return {desc, onednn_engine(), const_cast<void*>(data)};
}

/// A workspace from the device's pool, for one call.
class Workspace : public device_api::Workspace {
 public:
  explicit Workspace(int64_t bytes) : device_api::Workspace(Device{}, bytes) {}
};

inline void reorder(const dnnl::memory::desc& from, const void* source, const dnnl::memory::desc& to, void* target) {
  dnnl::memory in = onednn_memory(from, source);
  dnnl::memory out = onednn_memory(to, target);
  dnnl::reorder(in, out).execute(onednn_stream(), in, out);
}

/// A tensor in the type and layout that a primitive wants: the caller's own memory if it already fits, otherwise a workspace.
class Operand {
 public:
  Operand(const dnnl::memory::desc& plain, const void* data, const dnnl::memory::desc& wanted)
      : plain_(plain), wanted_(wanted), data_(const_cast<void*>(data)) {
    if (plain != wanted) {
      scratch_.emplace(static_cast<int64_t>(wanted.get_size()));
    }
  }
  /// Reorders an input into the wanted type and layout.
  dnnl::memory input() const {
    if (scratch_) {
      reorder(plain_, data_, wanted_, scratch_->data());
    }
    return output();
  }
  dnnl::memory output() const { return onednn_memory(wanted_, scratch_ ? scratch_->data() : data_); }
  /// Reorders a finished output back into the caller's type and layout.
  void finish() const {
    if (scratch_) {
      reorder(wanted_, scratch_->data(), plain_, data_);
    }
  }

 private:
  dnnl::memory::desc plain_, wanted_;
  void* data_;
  std::optional<Workspace> scratch_;
};

}  // namespace residua::cpu
