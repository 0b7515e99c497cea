// Batch normalisation, backward. As forward: packs of eight elements, a thread in one column of wide rows, its channels'
// parameters in registers. Both kernels read x, dy and the mask once; the second writes dx and dresidual once. The sums walk
// from the end of dy to its start and leave the start in the cache for the second kernel.
#include "core/kernels/batch_norm.h"
#include "cuda/device/batch_norm.cuh"
#include "cuda/device/wide_rows.cuh"

namespace residua::cuda {
namespace {

constexpr int kApplyThreads = 768;  // of a block, at most: on sm_100 the 64 registers that 1024 threads can have are too few

template <class T>
struct Input {
  Pack<T, kPack> x, dy;
  unsigned mask;
};

template <bool HasMask, class T, class Extent>
__device__ Input<T> load_input(const T* x, const T* dy, const uint8_t* mask, int64_t i, Extent extent) {
  return {load_pack(x + i, extent), load_pack(dy + i, extent), HasMask ? mask[i / kPack] : 0xffu};
}

/// dy of element j where the mask is set.
template <bool HasMask, class T>
__device__ float gradient(const Input<T>& in, int j) {
  return !HasMask || (in.mask >> j & 1) != 0 ? widen(in.dy.v[j]) : 0.0f;
}

template <class T, bool Packed, bool HasMask>
__global__ void __launch_bounds__(1024)
    reduce_kernel(WideRows wide, ColumnGrid grid, BatchNormBackwardReduce args, float* partials) {
  const T* x = static_cast<const T*>(args.x);
  const T* dy = static_cast<const T*>(args.dy);
  const ColumnPlace place(grid);
  float mean[kPack];
  float sum[2][kPack] = {};
  if (place.active) {
    load_channels(args.mean, wide.channels, wide.channel(place.column), mean);
  }
  for_column<T, 32, Packed, Direction::down>(
      wide, grid, place, [&](int64_t i, auto extent) { return load_input<HasMask>(x, dy, args.mask, i, extent); },
      [&](int64_t, const Input<T>& in, auto extent) {
#pragma unroll
        for (int j = 0; j < kPack; ++j) {
          const float g = gradient<HasMask>(in, j);
          sum[0][j] += g;
          sum[1][j] += extent.has(j) ? g * (widen(in.x.v[j]) - mean[j]) : 0.0f;
        }
      });
  add_lanes(grid, place, sum);
  store_partials(grid, place, sum, partials);
}

template <class T, bool Packed, bool HasMask, bool HasResidual>
__global__ void __launch_bounds__(kApplyThreads) apply_kernel(WideRows wide, ColumnGrid grid, BatchNormBackwardApply args) {
  const T* x = static_cast<const T*>(args.x);
  const T* dy = static_cast<const T*>(args.dy);
  T* dx = static_cast<T*>(args.dx);
  T* dresidual = static_cast<T*>(args.dresidual);
  const ColumnPlace place(grid);
  if (!place.active) {
    return;
  }
  BackwardLine<kPack> line;
  line.load(args.gamma, args.mean, args.rstd, args.sum_g, args.sum_g_xhat, args.rows, wide.channels,
            wide.channel(place.column));
  for_column<T, 32, Packed, Direction::up>(
      wide, grid, place, [&](int64_t i, auto extent) { return load_input<HasMask>(x, dy, args.mask, i, extent); },
      [&](int64_t i, const Input<T>& in, auto extent) {
        float out[kPack];
        float g[kPack];
#pragma unroll
        for (int j = 0; j < kPack; ++j) {
          g[j] = gradient<HasMask>(in, j);
          out[j] = line.dx(j, g[j], widen(in.x.v[j]));
        }
        if constexpr (HasResidual) {
          store_pack(dresidual + i, g, extent);
        }
        store_pack(dx + i, out, extent);
      });
}

}  // namespace

void run(const BatchNormBackwardReduce& args, Stream& stream) {
  visit_float(args.dtype, [&]<class T>() {
    const WideRows wide(args.rows, args.channels);
    const ColumnGrid grid(stream, wide.count, wide.packs, kSumBlocks, 1024, kSumThreads);
    const device_api::Workspace workspace(stream.device(), partials_bytes<kPack>(grid));
    auto* partials = static_cast<float*>(workspace.data());
    LaunchShape shape = grid.launch;
    shape.shared_bytes = lane_sums_bytes<kPack>(shape.threads);
    visit_bool(aligned_to(sizeof(Pack<T, kPack>), args.x, args.dy), [&](auto packed) {
      visit_bool(args.mask != nullptr, [&](auto has_mask) {
        launch(stream, shape, reduce_kernel<T, packed(), has_mask()>, wide, grid, args, partials);
      });
    });
    finish_sums<kPack>(stream, grid, args.channels, partials, FinishBackward{args.rstd, args.sum_g, args.sum_g_xhat});
  });
}

void run(const BatchNormBackwardApply& args, Stream& stream) {
  visit_float(args.dtype, [&]<class T>() {
    const WideRows wide(args.rows, args.channels);
    const ColumnGrid grid(stream, wide.count, wide.packs, 4, kApplyThreads);
    visit_bool(aligned_to(sizeof(Pack<T, kPack>), args.x, args.dy, args.dx, args.dresidual), [&](auto packed) {
      visit_bool(args.mask != nullptr, [&](auto has_mask) {
        visit_bool(args.dresidual != nullptr, [&](auto has_residual) {
          launch(stream, grid.launch, apply_kernel<T, packed(), has_mask(), has_residual()>, wide, grid, args);
        });
      });
    });
  });
}

}  // namespace residua::cuda
