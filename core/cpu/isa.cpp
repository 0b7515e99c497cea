#include "core/cpu/isa.h"

#include <cstdlib>
#include <string_view>

namespace residua::cpu {
namespace {

Isa detect() {
  Isa best = Isa::baseline;
#ifdef RESIDUA_X86_64
  if (__builtin_cpu_supports("x86-64-v3") != 0) {
    best = Isa::avx2;
  }
  if (__builtin_cpu_supports("x86-64-v4") != 0) {
    best = Isa::avx512;
  }
#endif
  const char* wanted = std::getenv("RESIDUA_ISA");
  if (wanted != nullptr) {
    const std::string_view text = wanted;
    if (text == "baseline") {
      return Isa::baseline;
    }
    if (text == "avx2" && best == Isa::avx512) {
      return Isa::avx2;
    }
  }
  return best;
}

}  // namespace

Isa isa() {
  static const Isa chosen = detect();
  return chosen;
}

}  // namespace residua::cpu
