#pragma once

#include <cmath>

#include "core/base/dtype.h"
#include "cuda/device/launch.cuh"

namespace residua::cuda {

// Conversions between stored elements and fp32, in which all arithmetic is done. Rounds to nearest even; NaN stays NaN.

__device__ inline float widen(float v) { return v; }
__device__ inline float widen(uint8_t v) { return static_cast<float>(v); }

#ifdef __CUDACC__
__device__ inline float widen(f16 v) { return __half2float(__ushort_as_half(v.bits)); }
__device__ inline float widen(bf16 v) { return __uint_as_float(static_cast<uint32_t>(v.bits) << 16); }
#else
inline float widen(f16 v) { return to_float(v); }
inline float widen(bf16 v) { return to_float(v); }
#endif

template <class T>
__device__ inline T narrow(float v);

/// Packs two values into one word as elements of a 16-bit type, the first in the lower half.
template <class T>
__device__ inline uint32_t narrow_pair(float first, float second);
/// The inverse of narrow_pair.
template <class T>
__device__ inline void widen_pair(uint32_t word, float& first, float& second);

template <>
__device__ inline float narrow<float>(float v) {
  return v;
}

#ifdef __CUDACC__
template <>
__device__ inline f16 narrow<f16>(float v) {
  return {__half_as_ushort(__float2half_rn(v))};
}
template <>
__device__ inline bf16 narrow<bf16>(float v) {
  return {__bfloat16_as_ushort(__float2bfloat16_rn(v))};
}

template <>
__device__ inline uint32_t narrow_pair<f16>(float first, float second) {
  const __half2 pair = __floats2half2_rn(first, second);
  return *reinterpret_cast<const uint32_t*>(&pair);
}
template <>
__device__ inline uint32_t narrow_pair<bf16>(float first, float second) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(first, second);
  return *reinterpret_cast<const uint32_t*>(&pair);
}

template <>
__device__ inline void widen_pair<f16>(uint32_t word, float& first, float& second) {
  const float2 pair = __half22float2(*reinterpret_cast<const __half2*>(&word));
  first = pair.x;
  second = pair.y;
}
template <>
__device__ inline void widen_pair<bf16>(uint32_t word, float& first, float& second) {
  first = __uint_as_float(word << 16);
  second = __uint_as_float(word & 0xffff0000u);
}
#else
template <>
inline f16 narrow<f16>(float v) {
  return from_float<f16>(v);
}
template <>
inline bf16 narrow<bf16>(float v) {
  return from_float<bf16>(v);
}
template <class T>
inline uint32_t narrow_pair(float first, float second) {
  return from_float<T>(first).bits | static_cast<uint32_t>(from_float<T>(second).bits) << 16;
}
template <class T>
inline void widen_pair(uint32_t word, float& first, float& second) {
  first = to_float(T{static_cast<uint16_t>(word)});
  second = to_float(T{static_cast<uint16_t>(word >> 16)});
}
#endif

/// The largest value that `narrow` rounds to 0. Larger values are stored as a positive T.
template <class T>
inline constexpr float kStoredAsZero = 0;
template <>
inline constexpr float kStoredAsZero<f16> = 0x1p-25f;
template <>
inline constexpr float kStoredAsZero<bf16> = 0x1p-134f;

/// Calls `f.template operator()<T>()` with the C++ type of a floating dtype. Throws Error on another dtype.
template <class F>
void visit_float(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32: f.template operator()<float>(); return;
    case DType::f16: f.template operator()<f16>(); return;
    case DType::bf16: f.template operator()<bf16>(); return;
    default: fail_element_type(dtype);
  }
}

}  // namespace residua::cuda
