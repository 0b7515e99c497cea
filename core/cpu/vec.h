#pragma once

#ifdef RESIDUA_X86_64
#include <immintrin.h>
#endif

#include <bit>
#include <cstdint>
#include <cstring>

#include "core/base/dtype.h"

/// The compiler's vector extension: sixteen floats at a time with AVX-512, eight otherwise. For files in core/cpu/isa only;
/// everything here is in the file's ISA namespace.
namespace residua::cpu::RESIDUA_ISA {
namespace {

#ifdef __AVX512F__
constexpr int64_t kLanes = 16;
using LaneBits = uint16_t;
constexpr LaneBits kAllLanes = 0xffff;  // for the masked intrinsics, because GCC 12 warns about the plain ones
#else
constexpr int64_t kLanes = 8;
using LaneBits = uint8_t;
#endif

/// One register of each element type. LaneBits above has one bit per lane, lowest first.
using Floats = float __attribute__((vector_size(kLanes * 4)));
using Ints = int32_t __attribute__((vector_size(kLanes * 4)));
using UInts = uint32_t __attribute__((vector_size(kLanes * 4)));
using UShorts = uint16_t __attribute__((vector_size(kLanes * 2)));
using Bytes = uint8_t __attribute__((vector_size(kLanes)));

#define RESIDUA_INLINE [[gnu::always_inline]] inline

RESIDUA_INLINE Floats broadcast(float value) { return value - Floats{}; }

/// 0, 1, 2, ...
RESIDUA_INLINE Ints lane_numbers() {
  Ints v;
  for (int32_t i = 0; i < kLanes; ++i) {
    v[i] = i;
  }
  return v;
}

RESIDUA_INLINE Floats select(Ints condition, Floats yes, Floats no) { return condition ? yes : no; }

template <class V, class T>
RESIDUA_INLINE V load_as(const T* p) {
  V v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

/// Converts between lanes of 32 bits and narrower lanes. Narrowing drops the upper bits. GCC 12 would split
/// __builtin_convertvector into halves.
RESIDUA_INLINE UInts widen(UShorts v) {
#if defined(__AVX512F__)
  return std::bit_cast<UInts>(_mm512_maskz_cvtepu16_epi32(kAllLanes, std::bit_cast<__m256i>(v)));
#elif defined(__AVX2__)
  return std::bit_cast<UInts>(_mm256_cvtepu16_epi32(std::bit_cast<__m128i>(v)));
#else
  return __builtin_convertvector(v, UInts);
#endif
}

RESIDUA_INLINE Ints widen(Bytes v) {
#if defined(__AVX512F__)
  return std::bit_cast<Ints>(_mm512_maskz_cvtepu8_epi32(kAllLanes, std::bit_cast<__m128i>(v)));
#elif defined(__AVX2__)
  return std::bit_cast<Ints>(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(std::bit_cast<int64_t>(v))));
#else
  return __builtin_convertvector(v, Ints);
#endif
}

RESIDUA_INLINE UShorts narrow_to_shorts(UInts v) {
#if defined(__AVX512F__)
  return std::bit_cast<UShorts>(_mm512_maskz_cvtepi32_epi16(kAllLanes, std::bit_cast<__m512i>(v)));
#else
  return __builtin_convertvector(v, UShorts);
#endif
}

RESIDUA_INLINE Bytes narrow_to_bytes(Ints v) {
#if defined(__AVX512F__)
  return std::bit_cast<Bytes>(_mm512_maskz_cvtepi32_epi8(kAllLanes, std::bit_cast<__m512i>(v)));
#else
  return __builtin_convertvector(v, Bytes);
#endif
}

RESIDUA_INLINE Floats load(const float* p) { return load_as<Floats>(p); }

RESIDUA_INLINE Floats load(const bf16* p) { return std::bit_cast<Floats>(widen(load_as<UShorts>(p)) << 16); }

RESIDUA_INLINE Floats load(const f16* p) {
#if defined(__AVX512F__)
  return std::bit_cast<Floats>(_mm512_maskz_cvtph_ps(kAllLanes, load_as<__m256i>(p)));
#elif defined(__F16C__)
  return std::bit_cast<Floats>(_mm256_cvtph_ps(load_as<__m128i>(p)));
#else
  const UInts bits = widen(load_as<UShorts>(p));
  const UInts sign = (bits & 0x8000u) << 16;
  const UInts magnitude = bits & 0x7fffu;
  // Shifted into place, a half is 2^112 times too small, and so is a subnormal. Only infinity and NaN need their exponent set.
  const UInts scaled = std::bit_cast<UInts>(std::bit_cast<Floats>(magnitude << 13) * 0x1p112f);
  return std::bit_cast<Floats>((magnitude >= 0x7c00u ? (magnitude << 13) | 0x7f800000u : scaled) | sign);
#endif
}

/// The values 0 to 255 as floats.
RESIDUA_INLINE Floats load(const uint8_t* p) { return __builtin_convertvector(widen(load_as<Bytes>(p)), Floats); }

RESIDUA_INLINE void store(float* p, Floats v) { std::memcpy(p, &v, sizeof v); }

RESIDUA_INLINE void store(bf16* p, Floats v) {
#ifdef __AVX512BF16__
  // This instruction turns subnormal values into 0, whatever the rounding mode.
  const __m256bh out = _mm512_maskz_cvtneps_pbh(kAllLanes, std::bit_cast<__m512>(v));
#else
  const UInts bits = std::bit_cast<UInts>(v);
  const UInts rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  const UShorts out = narrow_to_shorts((v != v ? bits | 0x400000u : rounded) >> 16);
#endif
  std::memcpy(p, &out, sizeof out);
}

RESIDUA_INLINE void store(f16* p, Floats v) {
#if defined(__AVX512F__)
  const __m256i out = _mm512_maskz_cvtps_ph(kAllLanes, std::bit_cast<__m512>(v), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  std::memcpy(p, &out, sizeof out);
#elif defined(__F16C__)
  const __m128i out = _mm256_cvtps_ph(std::bit_cast<__m256>(v), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  std::memcpy(p, &out, sizeof out);
#else
  // The branches of from_float<f16>, without branching.
  const UInts bits = std::bit_cast<UInts>(v);
  const UInts magnitude = bits & 0x7fffffffu;
  const UInts normal = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  const UInts subnormal = std::bit_cast<UInts>(std::bit_cast<Floats>(magnitude) + 0.5f) - 0x3f000000u;
  UInts half = magnitude >= 0x38800000u ? normal : subnormal;
  half = magnitude >= 0x477ff000u ? UInts{} + 0x7c00u : half;
  half = magnitude > 0x7f800000u ? UInts{} + 0x7e00u : half;
  const UShorts out = narrow_to_shorts(half | ((bits >> 16) & 0x8000u));
  std::memcpy(p, &out, sizeof out);
#endif
}

/// The largest value that `store` rounds to 0. Larger values are stored as a positive T.
template <class T>
constexpr float kStoredAsZero = 0;
template <>
constexpr float kStoredAsZero<f16> = 0x1p-25f;
#ifdef __AVX512BF16__
template <>
constexpr float kStoredAsZero<bf16> = 0x1.fffffcp-127f;
#else
template <>
constexpr float kStoredAsZero<bf16> = 0x1p-134f;
#endif

/// Stores the lowest byte of each lane.
RESIDUA_INLINE void store_bytes(uint8_t* p, Ints v) {
  const Bytes out = narrow_to_bytes(v);
  std::memcpy(p, &out, sizeof out);
}

/// The elements that a step of for_blocks covers. Whole: kVectors full registers. Part: the first `lanes` (1 to kLanes - 1) of
/// one register.
template <int Vectors>
struct Whole {
  static constexpr int kVectors = Vectors;
};
struct Part {
  static constexpr int kVectors = 1;
  int64_t lanes;
};

/// Calls body(i, extent) for pieces of [0, count), in order: blocks of `Vectors` registers, then single registers, then a part
/// of one. The body is instantiated for each kind, so its loops over extent.kVectors stay in registers.
template <int Vectors, class Body>
RESIDUA_INLINE void for_blocks(int64_t count, Body&& body) {
  int64_t i = 0;
  for (; i + Vectors * kLanes <= count; i += Vectors * kLanes) {
    body(i, Whole<Vectors>{});
  }
  if constexpr (Vectors > 1) {
    for (; i + kLanes <= count; i += kLanes) {
      body(i, Whole<1>{});
    }
  }
  if (i < count) {
    body(i, Part{count - i});
  }
}

template <class T, int Vectors>
RESIDUA_INLINE Floats load(const T* p, Whole<Vectors>) {
  return load(p);
}

/// Lanes past the part are set to zero.
template <class T>
RESIDUA_INLINE Floats load(const T* p, Part part) {
  T buffer[kLanes] = {};
  std::memcpy(buffer, p, static_cast<size_t>(part.lanes) * sizeof(T));
  return load(buffer);
}

template <class T, int Vectors>
RESIDUA_INLINE void store(T* p, Floats v, Whole<Vectors>) {
  store(p, v);
}

template <class T>
RESIDUA_INLINE void store(T* p, Floats v, Part part) {
  T buffer[kLanes];
  store(buffer, v);
  std::memcpy(p, buffer, static_cast<size_t>(part.lanes) * sizeof(T));
}

template <int Vectors>
RESIDUA_INLINE Ints load_bytes(const uint8_t* p, Whole<Vectors>) {
  return widen(load_as<Bytes>(p));
}

RESIDUA_INLINE Ints load_bytes(const uint8_t* p, Part part) {
  uint8_t buffer[kLanes] = {};
  std::memcpy(buffer, p, static_cast<size_t>(part.lanes));
  return load_bytes(buffer, Whole<1>{});
}

template <int Vectors>
RESIDUA_INLINE void store_bytes(uint8_t* p, Ints v, Whole<Vectors>) {
  store_bytes(p, v);
}

RESIDUA_INLINE void store_bytes(uint8_t* p, Ints v, Part part) {
  uint8_t buffer[kLanes];
  store_bytes(buffer, v);
  std::memcpy(p, buffer, static_cast<size_t>(part.lanes));
}

/// `inside` in the lanes of the extent, `outside` in the others.
template <int Vectors>
RESIDUA_INLINE Floats within(Whole<Vectors>, Floats inside, Floats) {
  return inside;
}

RESIDUA_INLINE Floats within(Part part, Floats inside, Floats outside) {
  return select(lane_numbers() < static_cast<int32_t>(part.lanes), inside, outside);
}

/// Bit i is set if v[i] > threshold.
RESIDUA_INLINE LaneBits bits_above(Floats v, float threshold) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask(std::bit_cast<__m512>(v), _mm512_set1_ps(threshold), _CMP_GT_OQ);
#elif defined(__AVX2__)
  return static_cast<LaneBits>(_mm256_movemask_ps(std::bit_cast<__m256>(v > threshold)));
#else
  LaneBits bits = 0;
  for (int i = 0; i < kLanes; ++i) {
    bits = static_cast<LaneBits>(bits | (v[i] > threshold) << i);
  }
  return bits;
#endif
}

/// v in lanes whose bit is set, 0 in the others.
RESIDUA_INLINE Floats keep(LaneBits bits, Floats v) {
#if defined(__AVX512F__)
  return std::bit_cast<Floats>(_mm512_maskz_mov_ps(bits, std::bit_cast<__m512>(v)));
#else
  return select((int32_t{bits} & (Ints{} + 1) << lane_numbers()) != 0, v, Floats{});
#endif
}

/// Loads the lanes' bits from a bit field in which byte `p` starts at lane 0.
template <int Vectors>
RESIDUA_INLINE LaneBits load_bits(const uint8_t* p, Whole<Vectors>) {
  return load_as<LaneBits>(p);
}

RESIDUA_INLINE LaneBits load_bits(const uint8_t* p, Part part) {
  LaneBits bits = 0;
  std::memcpy(&bits, p, static_cast<size_t>((part.lanes + 7) / 8));
  return bits;
}

template <int Vectors>
RESIDUA_INLINE void store_bits(uint8_t* p, LaneBits bits, Whole<Vectors>) {
  std::memcpy(p, &bits, sizeof bits);
}

/// Sets the bits past the part to 0, up to the end of its last byte.
RESIDUA_INLINE void store_bits(uint8_t* p, LaneBits bits, Part part) {
  bits = static_cast<LaneBits>(bits & ((1u << part.lanes) - 1));
  std::memcpy(p, &bits, static_cast<size_t>((part.lanes + 7) / 8));
}

/// Bit i is set if p[i] == value.
template <int Vectors>
RESIDUA_INLINE LaneBits bits_equal(const uint8_t* p, uint8_t value, Whole<Vectors>) {
#if defined(__AVX512F__)
  return _mm_cmpeq_epi8_mask(load_as<__m128i>(p), _mm_set1_epi8(static_cast<char>(value)));
#elif defined(RESIDUA_X86_64)
  const __m128i equal =
      _mm_cmpeq_epi8(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)), _mm_set1_epi8(static_cast<char>(value)));
  return static_cast<LaneBits>(_mm_movemask_epi8(equal));
#else
  LaneBits bits = 0;
  for (int i = 0; i < kLanes; ++i) {
    bits = static_cast<LaneBits>(bits | (p[i] == value) << i);
  }
  return bits;
#endif
}

/// Lanes past the part are unspecified.
RESIDUA_INLINE LaneBits bits_equal(const uint8_t* p, uint8_t value, Part part) {
  uint8_t buffer[kLanes] = {};
  std::memcpy(buffer, p, static_cast<size_t>(part.lanes));
  return bits_equal(buffer, value, Whole<1>{});
}

/// max(v, floor); NaN stays NaN.
RESIDUA_INLINE Floats at_least(Floats v, float floor) { return v < floor ? broadcast(floor) : v; }

/// The sum of the lanes, in a fixed order.
RESIDUA_INLINE float sum(Floats v) {
  for (int64_t half = kLanes / 2; half > 0; half /= 2) {
    for (int64_t i = 0; i < half; ++i) {
      v[i] += v[i + half];
    }
  }
  return v[0];
}

/// e^v with a relative error below 2e-7. 0 below -87.3, infinity above 88.7; NaN stays NaN.
/// Cody and Waite's range reduction to [-ln 2 / 2, ln 2 / 2], then a minimax polynomial of degree 6 (Cephes, expf).
RESIDUA_INLINE Floats exp(Floats v) {
  constexpr float kLowest = -87.33f, kHighest = 88.72f;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23; adding it rounds to an integer in the lowest bits
  const Floats x = select(v < kLowest, broadcast(kLowest), select(v > kHighest, broadcast(kHighest), v));
  const Floats shifted = x * 1.44269504088896341f + kRound;
  const Floats n = shifted - kRound;
  const Floats r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Floats p = broadcast(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  // 2^n as two factors, because 2^128 does not fit into a float.
  const Ints whole = std::bit_cast<Ints>(shifted) - std::bit_cast<int32_t>(kRound);
  const Ints half = whole >> 1;
  const Floats power = std::bit_cast<Floats>((half + 127) << 23) * std::bit_cast<Floats>((whole - half + 127) << 23);
  Floats result = select(v < kLowest, Floats{}, p * power);
  result = select(v > kHighest, broadcast(__builtin_inff()), result);
  return select(v != v, v, result);
}

/// Calls f.template operator()<T>() with T = float, f16 or bf16.
template <class F>
RESIDUA_INLINE void visit_float(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32: f.template operator()<float>(); return;
    case DType::f16: f.template operator()<f16>(); return;
    case DType::bf16: f.template operator()<bf16>(); return;
    default: __builtin_trap();  // the op has checked the type
  }
}

}  // namespace
}  // namespace residua::cpu::RESIDUA_ISA
