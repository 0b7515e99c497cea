#include "core/data/codecs/scale_rows.h"

#ifdef RESIDUA_X86_64
#include <immintrin.h>
#endif

#include <cstring>

#include "core/base/isa.h"

namespace residua::RESIDUA_ISA {
namespace {

#ifdef __AVX512F__
constexpr int64_t kLanes = 16;
#else
constexpr int64_t kLanes = 8;
#endif
using Floats = float __attribute__((vector_size(kLanes * 4)));
using Bytes = uint8_t __attribute__((vector_size(kLanes)));
using Float4 = float __attribute__((vector_size(16)));

#define RESIDUA_INLINE [[gnu::always_inline]] inline

template <class V, class T>
RESIDUA_INLINE V load(const T* from) {
  V value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

RESIDUA_INLINE Floats to_floats(Bytes bytes) {
#if defined(__AVX512F__)
  __m128i packed;
  std::memcpy(&packed, &bytes, sizeof packed);
  const __m512 floats = _mm512_maskz_cvtepi32_ps(0xffff, _mm512_maskz_cvtepu8_epi32(0xffff, packed));
  return load<Floats>(&floats);
#elif defined(__AVX2__)
  int64_t packed;
  std::memcpy(&packed, &bytes, sizeof packed);
  const __m256 floats = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(packed)));
  return load<Floats>(&floats);
#else
  return __builtin_convertvector(bytes, Floats);
#endif
}

/// row[x] = sum over taps of weight * source byte x.
template <int kBlocks>
RESIDUA_INLINE void blend_block(const uint8_t* source, int64_t stride, const float* weights, int64_t taps, float* row) {
  Floats sums[kBlocks] = {};
  for (int64_t t = 0; t < taps; ++t) {
    const uint8_t* from = source + t * stride;
    for (int b = 0; b < kBlocks; ++b) {
      sums[b] += weights[t] * to_floats(load<Bytes>(from + b * kLanes));
    }
  }
  std::memcpy(row, sums, sizeof sums);
}

void blend(const uint8_t* source, int64_t stride, const float* weights, int64_t taps, float* row) {
  constexpr int kBlocks = 4;
  int64_t x = 0;
  for (; x + kBlocks * kLanes <= stride; x += kBlocks * kLanes) {
    blend_block<kBlocks>(source + x, stride, weights, taps, row + x);
  }
  for (; x + kLanes <= stride; x += kLanes) {
    blend_block<1>(source + x, stride, weights, taps, row + x);
  }
  for (; x < stride; ++x) {
    float sum = 0;
    for (int64_t t = 0; t < taps; ++t) {
      sum += weights[t] * static_cast<float>(source[t * stride + x]);
    }
    row[x] = sum;
  }
}

/// The sum of a pixel's taps in the first three lanes. It starts at 0.5, so that truncation rounds: a mean of bytes exceeds
/// their range by less than that.
template <int kTaps>
RESIDUA_INLINE Float4 pixel(const float* row, const float* weights, int64_t taps) {
  Float4 sum = {0.5f, 0.5f, 0.5f, 0.5f};
  for (int64_t t = 0; t < (kTaps > 0 ? kTaps : taps); ++t) {
    sum += weights[t] * load<Float4>(row + 3 * t);
  }
  return sum;
}

RESIDUA_INLINE void store_pixel(Float4 sum, uint8_t* out) {
  for (int c = 0; c < 3; ++c) {
    out[c] = static_cast<uint8_t>(static_cast<int>(sum[c]));
  }
}

/// Writes one output row. kTaps 0: the filter says how many.
template <int kTaps>
void resample(const float* row, const Filter& f, uint8_t* out) {
  int64_t i = 0;
#ifdef __AVX2__
  // Four pixels become 12 bytes of 16; the next four overwrite the rest.
  const __m128i order = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
  for (; i + 6 <= f.outputs; i += 4) {
    __m128i four[4];
    for (int64_t p = 0; p < 4; ++p) {
      const Float4 sum = pixel<kTaps>(row + int64_t{f.first[i + p]} * 3, f.weights + (i + p) * f.taps, f.taps);
      four[p] = _mm_cvttps_epi32(load<__m128>(&sum));
    }
    const __m128i bytes = _mm_packus_epi16(_mm_packus_epi32(four[0], four[1]), _mm_packus_epi32(four[2], four[3]));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 3 * i), _mm_shuffle_epi8(bytes, order));
  }
#endif
  for (; i < f.outputs; ++i) {
    store_pixel(pixel<kTaps>(row + int64_t{f.first[i]} * 3, f.weights + i * f.taps, f.taps), out + 3 * i);
  }
}

}  // namespace

void scale_rows(const ScaleRows& a) {
  const int64_t stride = 3 * a.width;
  a.row[stride] = 0;  // read with the last pixel, and not used
  for (int64_t y = 0; y < a.vertical.outputs; ++y) {
    blend(a.source + a.vertical.first[y] * stride, stride, a.vertical.weights + y * a.vertical.taps, a.vertical.taps, a.row);
    uint8_t* out = a.out + y * a.horizontal.outputs * 3;
    switch (a.horizontal.taps) {
      case 1: resample<1>(a.row, a.horizontal, out); break;
      case 2: resample<2>(a.row, a.horizontal, out); break;
      case 3: resample<3>(a.row, a.horizontal, out); break;
      case 4: resample<4>(a.row, a.horizontal, out); break;
      case 5: resample<5>(a.row, a.horizontal, out); break;
      default: resample<0>(a.row, a.horizontal, out); break;
    }
  }
}

}  // namespace residua::RESIDUA_ISA

#ifdef RESIDUA_ISA_baseline
namespace residua {
#ifdef RESIDUA_X86_64
namespace avx2 {
void scale_rows(const ScaleRows& args);
}
namespace avx512 {
void scale_rows(const ScaleRows& args);
}

void scale_rows(const ScaleRows& args) {
  switch (isa()) {
    case Isa::avx512bf16:
    case Isa::avx512: avx512::scale_rows(args); return;
    case Isa::avx2: avx2::scale_rows(args); return;
    case Isa::baseline: break;
  }
  baseline::scale_rows(args);
}
#else
void scale_rows(const ScaleRows& args) { baseline::scale_rows(args); }
#endif
}  // namespace residua
#endif
