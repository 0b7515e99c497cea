#pragma once

#include <type_traits>

#include "cuda/device/columns.cuh"

// [rows, channels] as packs of eight elements, whatever the number of channels: as many rows as necessary form one wide row. A
// pack of a 16-bit type is 16 bytes, and its bits in a mask are one byte.
namespace residua::cuda {

inline constexpr int kPack = 8;

struct WideRows {
  int64_t size, channels;
  int64_t packs;  // per wide row
  int64_t count;  // whole wide rows; fewer than `width()` elements may follow them

  WideRows(int64_t rows, int64_t channel_count) : size(rows * channel_count), channels(channel_count) {
    packs = channels / std::min<int64_t>(channels & -channels, kPack);
    count = size / (packs * kPack);
  }
  __host__ __device__ int64_t width() const { return packs * kPack; }
  /// The channel of a column's first element.
  __device__ int64_t channel(int column) const {
    const int64_t element = int64_t{column} * kPack;
    return channels % kPack == 0 ? element : element % channels;
  }
};

/// The part of a pack that exists. A whole pack may be loaded and stored as one.
struct WholePack {
  __device__ static constexpr bool has(int) { return true; }
};
struct PartPack {
  int count;
  __device__ bool has(int element) const { return element < count; }
};

template <class T>
__device__ inline Pack<T, kPack> load_pack(const T* p, WholePack) {
  return *reinterpret_cast<const Pack<T, kPack>*>(p);
}

/// Elements past the part are set to zero.
template <class T>
__device__ inline Pack<T, kPack> load_pack(const T* p, PartPack part) {
  Pack<T, kPack> pack;
#pragma unroll
  for (int j = 0; j < kPack; ++j) {
    pack.v[j] = part.has(j) ? p[j] : T{};
  }
  return pack;
}

template <class T>
__device__ inline void store_pack(T* p, const float (&values)[kPack], WholePack) {
  store(p, values);
}

template <class T>
__device__ inline void store_pack(T* p, const float (&values)[kPack], PartPack part) {
#pragma unroll
  for (int j = 0; j < kPack; ++j) {
    if (part.has(j)) {
      p[j] = narrow<T>(values[j]);
    }
  }
}

/// The order of a walk over memory. After a kernel that walked start to end, the end is still in L2: walk `down`.
enum class Direction : uint8_t { up, down };

/// Calls use(i, load(i, extent), extent) for the packs of a thread's column; i is the pack's first element. `Packed` means that
/// whole packs may be loaded as one; then `Bytes` bytes of x are loaded before the first use.
template <class T, int Bytes, bool Packed, Direction kDirection, class Load, class Use>
__device__ inline void for_column(const WideRows& wide, const ColumnGrid& grid, const ColumnPlace& place, const Load& load,
                                  const Use& use) {
  constexpr int kUnroll = Packed ? Bytes / static_cast<int>(sizeof(Pack<T, kPack>)) : 1;
  if (!place.active) {
    return;
  }
  std::conditional_t<Packed, WholePack, PartPack> whole;
  if constexpr (!Packed) {
    whole.count = kPack;
  }
  constexpr bool kUp = kDirection == Direction::up;
  const int64_t end = wide.count * wide.width();
  const int64_t step = (kUp ? grid.row_step() : -grid.row_step()) * wide.width();
  const auto inside = [=](int64_t i) { return kUp ? i < end : i >= 0; };
  int64_t i = ((kUp ? place.row : wide.count - 1 - place.row) * wide.packs + place.column) * kPack;
  for (; inside(i + (kUnroll - 1) * step); i += kUnroll * step) {
    decltype(load(i, whole)) loaded[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      loaded[u] = load(i + u * step, whole);
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      use(i + u * step, loaded[u], whole);
    }
  }
  // Fewer than kUnroll rows are left. Loads for missing rows repeat the first one.
  if (inside(i)) {
    decltype(load(i, whole)) loaded[kUnroll];
#pragma unroll
    for (int u = 0; u + 1 < kUnroll || u == 0; ++u) {
      loaded[u] = load(inside(i + u * step) ? i + u * step : i, whole);
    }
#pragma unroll
    for (int u = 0; u + 1 < kUnroll || u == 0; ++u) {
      if (inside(i + u * step)) {
        use(i + u * step, loaded[u], whole);
      }
    }
  }
  const int64_t last = end + int64_t{place.column} * kPack;
  if (place.row == 0 && last < wide.size) {
    const PartPack part{static_cast<int>(wide.size - last < kPack ? wide.size - last : kPack)};
    use(last, load(last, part), part);
  }
}

}  // namespace residua::cuda
