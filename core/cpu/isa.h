#pragma once

#include "core/base/isa.h"
#include "core/cpu/stream.h"

/// Files in core/cpu/isa are compiled once per instruction set. Such a file looks like this:
/// @code
/// namespace residua::cpu::RESIDUA_ISA {
/// namespace { ... helpers ... }
/// void run(const Add& args, Stream& stream) { ... }
/// }
/// RESIDUA_CPU_KERNEL(Add)
/// @endcode
/// RESIDUA_CPU_KERNEL(Args) defines the contract's `cpu::run(const Args&, Stream&)`, which calls the version for this
/// processor. Such a file must not define inline functions outside its ISA namespace.

#ifdef RESIDUA_X86_64
#define RESIDUA_DECLARE_ISA_VERSIONS(Args)                         \
  namespace residua::cpu {                                         \
  namespace baseline {                                             \
  void run(const Args& args, Stream& stream);                      \
  }                                                                \
  namespace avx2 {                                                 \
  void run(const Args& args, Stream& stream);                      \
  }                                                                \
  namespace avx512 {                                               \
  void run(const Args& args, Stream& stream);                      \
  }                                                                \
  namespace avx512bf16 {                                           \
  void run(const Args& args, Stream& stream);                      \
  }                                                                \
  void run(const Args& args, Stream& stream) {                     \
    switch (isa()) {                                               \
      case Isa::avx512bf16: avx512bf16::run(args, stream); return; \
      case Isa::avx512: avx512::run(args, stream); return;         \
      case Isa::avx2: avx2::run(args, stream); return;             \
      case Isa::baseline: break;                                   \
    }                                                              \
    baseline::run(args, stream);                                   \
  }                                                                \
  }
#else
#define RESIDUA_DECLARE_ISA_VERSIONS(Args)                                    \
  namespace residua::cpu {                                                    \
  void run(const Args& args, Stream& stream) { baseline::run(args, stream); } \
  }
#endif

#ifdef RESIDUA_ISA_baseline
#define RESIDUA_CPU_KERNEL(Args) RESIDUA_DECLARE_ISA_VERSIONS(Args)
#else
#define RESIDUA_CPU_KERNEL(Args) static_assert(true);
#endif
