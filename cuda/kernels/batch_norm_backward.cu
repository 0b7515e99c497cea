// Batch normalization, backward. As in forward: packs of eight elements, a thread stays in one column of wide rows, its
// channels' parameters are in registers. Both kernels read x, the gradient and the mask once. The reduction walks from the end
// of the gradient to its start, so the start is still in L2 for the second kernel. Groups of rows come one after the other.
#include "core/kernels/batch_norm.h"
#include "core/kernels/batch_norm_groups.h"
#include "cuda/device/batch_norm.cuh"
#include "cuda/device/wide_rows.cuh"

namespace residua::cuda {
namespace {

/// Largest block: 1024 threads would leave only 64 registers per thread, which is too few.
constexpr int kMostThreads = 768;
/// Block size of the reduction, so that kSumBlocks blocks fit on a multiprocessor. It does not depend on whether g is stored:
/// rows are always divided the same way, so the sums are bit-identical.
constexpr int kReduceThreads = kMostThreads / kSumBlocks;

/// A pack of x, of each of the `Terms` terms of the gradient, and of the mask.
template <class T, int Terms>
struct Input {
  Pack<T, kPack> x, dy[Terms];
  unsigned mask;
};

template <bool HasMask, class T, int Terms, class Extent>
__device__ Input<T, Terms> load_input(const T* x, const T* const (&dy)[Terms], const uint8_t* mask, int64_t i, Extent extent) {
  Input<T, Terms> in;
  in.x = load_pack(x + i, extent);
#pragma unroll
  for (int k = 0; k < Terms; ++k) {
    in.dy[k] = load_pack(dy[k] + i, extent);
  }
  in.mask = HasMask ? mask[i / kPack] : 0xffu;
  return in;
}

/// The gradient where the mask is set, 0 elsewhere.
template <bool HasMask, class T, int Terms>
__device__ void masked_gradient(const Input<T, Terms>& in, float (&g)[kPack]) {
  widen(in.dy[0], g);
  if constexpr (Terms == 2) {
    float more[kPack];
    widen(in.dy[1], more);
#pragma unroll
    for (int j = 0; j < kPack; ++j) {
      g[j] += more[j];
    }
    round_to<T>(g);
  }
#pragma unroll
  for (int j = 0; j < kPack; ++j) {
    g[j] = !HasMask || (in.mask >> j & 1) != 0 ? g[j] : 0.0f;
  }
}

template <class T, bool Packed, bool HasMask, int Terms, bool StoresG>
__global__ void __launch_bounds__(kMostThreads)
    reduce_kernel(WideRows wide, ColumnGrid grid, BatchNormBackwardReduce args, float* partials) {
  const T* x = static_cast<const T*>(args.x);
  const T* dy[Terms] = {static_cast<const T*>(args.dy)};
  if constexpr (Terms == 2) {
    dy[1] = static_cast<const T*>(args.more);
  }
  T* stored = static_cast<T*>(args.g);
  const ColumnPlace place(grid);
  float mean[kPack];
  float sum[2][kPack] = {};
  if (place.active) {
    load_channels(args.mean, wide.channels, wide.channel(place.column), mean);
  }
  for_column<T, 32, Packed, Direction::down>(
      wide, grid, place, [&](int64_t i, auto extent) { return load_input<HasMask>(x, dy, args.mask, i, extent); },
      [&](int64_t i, const Input<T, Terms>& in, auto extent) {
        float g[kPack];
        masked_gradient<HasMask>(in, g);
        if constexpr (StoresG) {
          store_pack(stored + i, g, extent);
        }
#pragma unroll
        for (int j = 0; j < kPack; ++j) {
          sum[0][j] += g[j];
          sum[1][j] += extent.has(j) ? g[j] * (widen(in.x.v[j]) - mean[j]) : 0.0f;
        }
      });
  add_lanes(grid, place, sum);
  store_partials(grid, place, sum, partials);
}

template <class T, bool Packed, bool HasMask>
__global__ void __launch_bounds__(kMostThreads) apply_kernel(WideRows wide, ColumnGrid grid, BatchNormBackwardApply args) {
  const T* x = static_cast<const T*>(args.x);
  const T* const dy[1] = {static_cast<const T*>(args.dy)};
  T* dx = static_cast<T*>(args.dx);
  const ColumnPlace place(grid);
  if (!place.active) {
    return;
  }
  BackwardLine<kPack> line;
  line.load(args.gamma, args.mean, args.rstd, args.sum_g, args.sum_g_xhat, args.rows, wide.channels,
            wide.channel(place.column));
  for_column<T, 32, Packed, Direction::up>(
      wide, grid, place, [&](int64_t i, auto extent) { return load_input<HasMask>(x, dy, args.mask, i, extent); },
      [&](int64_t i, const Input<T, 1>& in, auto extent) {
        float g[kPack];
        masked_gradient<HasMask>(in, g);
        float out[kPack];
#pragma unroll
        for (int j = 0; j < kPack; ++j) {
          out[j] = line.dx(j, g[j], widen(in.x.v[j]));
        }
        store_pack(dx + i, out, extent);
      });
}

void run_group(const BatchNormBackwardReduce& args, Stream& stream) {
  visit_float(args.dtype, [&]<class T>() {
    const WideRows wide(args.rows, args.channels);
    const ColumnGrid grid(stream, wide.count, wide.packs, kSumBlocks, kMostThreads, kReduceThreads);
    const device_api::Workspace workspace(stream.device(), partials_bytes<kPack>(grid));
    auto* partials = static_cast<float*>(workspace.data());
    LaunchShape shape = grid.launch;
    shape.shared_bytes = lane_sums_bytes<kPack>(shape.threads);
    visit_bool(aligned_to(sizeof(Pack<T, kPack>), args.x, args.dy, args.more, args.g), [&](auto packed) {
      visit_bool(args.mask != nullptr, [&](auto has_mask) {
        const auto run_kernel = [&](auto terms, auto stores_g) {
          launch(stream, shape, reduce_kernel<T, packed(), has_mask(), terms.kCount, stores_g()>, wide, grid, args, partials);
        };
        if (args.more != nullptr) {
          run_kernel(Elements<2>{}, std::true_type{});
        } else {
          visit_bool(args.g != nullptr, [&](auto stores_g) { run_kernel(Elements<1>{}, stores_g); });
        }
      });
    });
    finish_sums<kPack>(stream, grid, args.channels, partials, FinishBackward{args.rstd, args.sum_g, args.sum_g_xhat});
  });
}

void run_group(const BatchNormBackwardApply& args, Stream& stream) {
  visit_float(args.dtype, [&]<class T>() {
    const WideRows wide(args.rows, args.channels);
    const ColumnGrid grid(stream, wide.count, wide.packs, 4, kMostThreads);
    visit_bool(aligned_to(sizeof(Pack<T, kPack>), args.x, args.dy, args.dx), [&](auto packed) {
      visit_bool(args.mask != nullptr,
                 [&](auto has_mask) { launch(stream, grid.launch, apply_kernel<T, packed(), has_mask()>, wide, grid, args); });
    });
  });
}

}  // namespace

void run(const BatchNormBackwardReduce& args, Stream& stream) {
  for_each_group(args, [&](const BatchNormBackwardReduce& group) { run_group(group, stream); });
}

void run(const BatchNormBackwardApply& args, Stream& stream) {
  for_each_group(args, [&](const BatchNormBackwardApply& group) { run_group(group, stream); });
}

}  // namespace residua::cuda
