#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "core/tensor/dtype.h"

/// Sixteen floats at a time, in the compiler's vector extension: one AVX-512 register, two AVX2 ones, four of SSE. For files of
/// core/cpu/isa only: everything here is in the file's ISA namespace.
namespace residua::cpu::RESIDUA_ISA {
namespace {

constexpr int64_t kLanes = 16;

using f32x16 = float __attribute__((vector_size(64)));
using i32x16 = int32_t __attribute__((vector_size(64)));
using u32x16 = uint32_t __attribute__((vector_size(64)));
using u16x16 = uint16_t __attribute__((vector_size(32)));

#define RESIDUA_INLINE [[gnu::always_inline]] inline

RESIDUA_INLINE f32x16 broadcast(float value) { return f32x16{} + value; }

RESIDUA_INLINE f32x16 load(const float* p) {
  f32x16 v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

RESIDUA_INLINE f32x16 load(const bf16* p) {
  u16x16 v;
  std::memcpy(&v, p, sizeof v);
  return std::bit_cast<f32x16>(__builtin_convertvector(v, u32x16) << 16);
}

RESIDUA_INLINE f32x16 load(const f16* p) {
  u16x16 v;
  std::memcpy(&v, p, sizeof v);
  const u32x16 bits = __builtin_convertvector(v, u32x16);
  const u32x16 sign = (bits & 0x8000u) << 16;
  const u32x16 magnitude = bits & 0x7fffu;
  // Shifted into place, a half is 2^112 times too small, subnormals included; only infinity and NaN need their exponent set.
  const f32x16 scaled = std::bit_cast<f32x16>(magnitude << 13) * 0x1p112f;
  const u32x16 special = std::bit_cast<u32x16>(magnitude >= 0x7c00u);
  const u32x16 value = (std::bit_cast<u32x16>(scaled) & ~special) | (((magnitude << 13) | 0x7f800000u) & special);
  return std::bit_cast<f32x16>(value | sign);
}

RESIDUA_INLINE void store(float* p, f32x16 v) { std::memcpy(p, &v, sizeof v); }

RESIDUA_INLINE void store(bf16* p, f32x16 v) {
  const u32x16 bits = std::bit_cast<u32x16>(v);
  const u32x16 rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const u32x16 nan = std::bit_cast<u32x16>(v != v);
  const u16x16 out = __builtin_convertvector((rounded & ~nan) | (((bits >> 16) | 0x40u) & nan), u16x16);
  std::memcpy(p, &out, sizeof out);
}

RESIDUA_INLINE void store(f16* p, f32x16 v) {
  for (int64_t i = 0; i < kLanes; ++i) {
    p[i] = from_float<f16>(v[i]);
  }
}

/// The first `count` (1 to 15) elements; the rest of the register is zero.
template <class T>
RESIDUA_INLINE f32x16 load_part(const T* p, int64_t count) {
  T buffer[kLanes] = {};
  std::memcpy(buffer, p, static_cast<size_t>(count) * sizeof(T));
  return load(buffer);
}

template <class T>
RESIDUA_INLINE void store_part(T* p, f32x16 v, int64_t count) {
  T buffer[kLanes];
  store(buffer, v);
  std::memcpy(p, buffer, static_cast<size_t>(count) * sizeof(T));
}

RESIDUA_INLINE f32x16 select(i32x16 condition, f32x16 yes, f32x16 no) { return condition ? yes : no; }

/// max(v, 0); NaN stays NaN.
RESIDUA_INLINE f32x16 relu(f32x16 v) { return v < 0.0f ? f32x16{} : v; }

/// Calls f.template operator()<T>() with T = float, f16 or bf16.
template <class F>
RESIDUA_INLINE void visit_float(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32: f.template operator()<float>(); return;
    case DType::f16: f.template operator()<f16>(); return;
    case DType::bf16: f.template operator()<bf16>(); return;
    default: __builtin_trap();  // the op has checked it
  }
}

}  // namespace
}  // namespace residua::cpu::RESIDUA_ISA
