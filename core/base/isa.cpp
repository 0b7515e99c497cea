#include "core/base/isa.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "core/base/error.h"

namespace residua {
namespace {

constexpr std::array<std::pair<const char*, Isa>, 4> kNames = {
    {{"baseline", Isa::baseline}, {"avx2", Isa::avx2}, {"avx512", Isa::avx512}, {"avx512bf16", Isa::avx512bf16}}};

Isa best() {
#ifdef RESIDUA_X86_64
  if (__builtin_cpu_supports("x86-64-v4") != 0) {
    return __builtin_cpu_supports("avx512bf16") != 0 ? Isa::avx512bf16 : Isa::avx512;
  }
  if (__builtin_cpu_supports("x86-64-v3") != 0) {
    return Isa::avx2;
  }
#endif
  return Isa::baseline;
}

/// The value of RESIDUA_ISA; the best instruction set if it is not set.
Isa wanted() {
  const char* text = std::getenv("RESIDUA_ISA");
  if (text == nullptr) {
    return Isa::avx512bf16;
  }
  for (const auto& [name, isa] : kNames) {
    if (std::string_view(text) == name) {
      return isa;
    }
  }
  fail_usage("RESIDUA_ISA is '{}', wanted baseline, avx2, avx512 or avx512bf16", text);
}

}  // namespace

Isa isa() {
  static const Isa chosen = std::min(best(), wanted());
  return chosen;
}

const char* isa_name() { return std::ranges::find(kNames, isa(), &std::pair<const char*, Isa>::second)->first; }

}  // namespace residua
