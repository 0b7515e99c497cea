#pragma once

#include <cstring>

#include "cuda/device/math.cuh"

namespace residua::cuda {

/// N elements that are loaded and stored as one; in a single instruction if sizeof(T) * N = 16. The address must be a multiple
/// of the size.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T v[N];
};

/// The number of elements of T in 16 bytes.
template <class T>
inline constexpr int kVec = 16 / static_cast<int>(sizeof(T));

template <int N, class T>
__device__ inline Pack<T, N> pack_at(const T* p) {
  return *reinterpret_cast<const Pack<T, N>*>(p);
}

/// Widens 16-bit elements in pairs from one word: one instruction per element, instead of up to three if taken singly.
template <class T, int N>
__device__ inline void widen(const Pack<T, N>& pack, float (&out)[N]) {
  if constexpr (sizeof(T) == 2 && N % 2 == 0) {
    Pack<uint32_t, N / 2> words;
    memcpy(&words, &pack, sizeof words);
#pragma unroll
    for (int i = 0; i < N / 2; ++i) {
      widen_pair<T>(words.v[i], out[2 * i], out[2 * i + 1]);
    }
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) {
      out[i] = widen(pack.v[i]);
    }
  }
}

/// Rounds to the nearest values of T.
template <class T, int N>
__device__ inline void round_to(float (&v)[N]) {
  if constexpr (sizeof(T) == 2 && N % 2 == 0) {
#pragma unroll
    for (int i = 0; i < N; i += 2) {
      widen_pair<T>(narrow_pair<T>(v[i], v[i + 1]), v[i], v[i + 1]);
    }
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) {
      v[i] = widen(narrow<T>(v[i]));
    }
  }
}

template <int N, class T>
__device__ inline void load(const T* p, float (&out)[N]) {
  const Pack<T, N> pack = *reinterpret_cast<const Pack<T, N>*>(p);
#pragma unroll
  for (int i = 0; i < N; ++i) {
    out[i] = widen(pack.v[i]);
  }
}

/// Stores words with one instruction. In some unrolled loops nvcc splits the store of a struct into several; the intrinsic
/// keeps it whole.
template <int N>
__device__ inline void store_words(void* p, const Pack<uint32_t, N>& words) {
#ifdef __CUDACC__
  if constexpr (N == 4) {
    __stwb(static_cast<uint4*>(p), make_uint4(words.v[0], words.v[1], words.v[2], words.v[3]));
  } else if constexpr (N == 2) {
    __stwb(static_cast<uint2*>(p), make_uint2(words.v[0], words.v[1]));
  } else
#endif
  {
    *static_cast<Pack<uint32_t, N>*>(p) = words;
  }
}

template <int N, class T>
__device__ inline void store(T* p, const float (&in)[N]) {
  if constexpr (sizeof(T) == 2 && N % 2 == 0) {
    Pack<uint32_t, N / 2> words;
#pragma unroll
    for (int i = 0; i < N / 2; ++i) {
      words.v[i] = narrow_pair<T>(in[2 * i], in[2 * i + 1]);
    }
    store_words(p, words);
  } else {
    Pack<T, N> pack;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      pack.v[i] = narrow<T>(in[i]);
    }
    *reinterpret_cast<Pack<T, N>*>(p) = pack;
  }
}

template <int N>
__device__ inline void widen_bytes(const Pack<uint8_t, N>& pack, int (&out)[N]) {
  if constexpr (N % 4 == 0) {
    Pack<uint32_t, N / 4> words;
    memcpy(&words, &pack, sizeof words);
#pragma unroll
    for (int i = 0; i < N; ++i) {
      out[i] = static_cast<int>(words.v[i / 4] >> 8 * (i % 4) & 0xff);
    }
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) {
      out[i] = pack.v[i];
    }
  }
}

/// Stores values of 0 to 255 as bytes.
template <int N>
__device__ inline void store_bytes(uint8_t* p, const int (&in)[N]) {
  if constexpr (N % 4 == 0) {
    Pack<uint32_t, N / 4> words;
#pragma unroll
    for (int i = 0; i < N / 4; ++i) {
      const int low = in[4 * i] + (in[4 * i + 1] << 8);
      const int high = in[4 * i + 2] + (in[4 * i + 3] << 8);
      words.v[i] = static_cast<uint32_t>(low) + (static_cast<uint32_t>(high) << 16);
    }
    store_words(p, words);
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) {
      p[i] = static_cast<uint8_t>(in[i]);
    }
  }
}

/// A number of elements that is known at compile time.
template <int N>
struct Elements {
  static constexpr int kCount = N;
};

/// A grid-stride loop over [0, size): calls body(i, Elements<N>{}) for packs of N elements, and body(i, Elements<1>{}) for each
/// of the remaining ones.
template <int N, class Body>
__device__ inline void for_packs(int64_t size, const Body& body) {
  const int64_t packs = size / N;
  for (int64_t i = global_thread(); i < packs; i += grid_threads()) {
    body(i * N, Elements<N>{});
  }
  if constexpr (N > 1) {
    for (int64_t i = packs * N + global_thread(); i < size; i += grid_threads()) {
      body(i, Elements<1>{});
    }
  }
}

/// Whether all pointers are aligned to `bytes`, so that packs of that size can be loaded. Null pointers count as aligned.
template <class... Pointers>
bool aligned_to(int64_t bytes, const Pointers*... pointers) {
  return ((reinterpret_cast<uintptr_t>(pointers) % static_cast<uintptr_t>(bytes) == 0) && ...);
}

/// Calls f(Elements<N>{}) with a kernel's pack size: 16 bytes of T if `packed` (addresses and row lengths allow it), otherwise
/// one element.
template <class T, class F>
void visit_pack(bool packed, const F& f) {
  if (packed) {
    f(Elements<kVec<T>>{});
  } else {
    f(Elements<1>{});
  }
}

}  // namespace residua::cuda
