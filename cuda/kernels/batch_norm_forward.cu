// Batch normalization, forward. A thread processes packs of eight elements of one column of wide rows
// (cuda/device/wide_rows.cuh). It issues several loads before the first use and keeps its channels' parameters in registers.
//
// The statistics read x once; with n blocks, a channel's partial sums are 8 n bytes, written and read once. Each thread
// estimates its channels' means from the same eight rows, which the caches hold, so that sums of differences from them do not
// cancel. The statistics walk from the end of x to the start: a convolution has just written x, so its end is still in L2. The
// apply kernel then walks from the start, which the statistics left in L2. It reads x and the residual once and writes y and
// the mask once.
//
// Groups of rows are processed one after the other, each by launches of its own.
#include "core/kernels/batch_norm.h"
#include "core/kernels/batch_norm_groups.h"
#include "cuda/device/batch_norm.cuh"
#include "cuda/device/wide_rows.cuh"

namespace residua::cuda {
namespace {

constexpr int kSamples = 8;

/// The mean of the pack's channels over `samples` rows that are `spacing` rows apart. It is rounded to T; otherwise its extra
/// bits, which no x has, would cause the same rounding error in every sum.
template <class T, bool Packed>
__device__ void estimate_means(const T* x, int64_t channels, int64_t first, int samples, int64_t spacing,
                               float (&mean)[kPack]) {
  float total[kPack] = {};
  if (Packed && channels % kPack == 0) {
    constexpr int kBatch = sizeof(T) == 2 ? kSamples : kSamples / 2;  // rows in flight at once, in 32 registers
    for (int s = 0; s < samples; s += kBatch) {
      Pack<T, kPack> rows[kBatch];
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        rows[b] = load_pack(x + (s + b < samples ? s + b : 0) * spacing * channels + first, WholePack{});
      }
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
#pragma unroll
        for (int j = 0; j < kPack; ++j) {
          total[j] += s + b < samples ? widen(rows[b].v[j]) : 0.0f;
        }
      }
    }
  } else {
    for (int s = 0; s < samples; ++s) {
      const T* row = x + s * spacing * channels;
      int64_t channel = first;
#pragma unroll
      for (int j = 0; j < kPack; ++j) {
        total[j] += widen(row[channel]);
        channel = channel + 1 == channels ? 0 : channel + 1;
      }
    }
  }
  const float share = 1 / static_cast<float>(samples);
#pragma unroll
  for (int j = 0; j < kPack; ++j) {
    mean[j] = widen(narrow<T>(total[j] * share));
  }
}

template <class T, bool Packed>
__global__ void __launch_bounds__(1024) statistics_kernel(WideRows wide, ColumnGrid grid, const T* x, int samples,
                                                          int64_t spacing, float* estimate, float* partials) {
  const ColumnPlace place(grid);
  float shift[kPack];
  float sum[2][kPack] = {};
  if (place.active) {
    estimate_means<T, Packed>(x, wide.channels, wide.channel(place.column), samples, spacing, shift);
    if (place.row == 0) {
#pragma unroll
      for (int j = 0; j < kPack; ++j) {
        if (int64_t{place.column} * kPack + j < wide.channels) {
          estimate[int64_t{place.column} * kPack + j] = shift[j];
        }
      }
    }
  }
  for_column<T, 64, Packed, Direction::down>(
      wide, grid, place, [&](int64_t i, auto extent) { return load_pack(x + i, extent); },
      [&](int64_t, const Pack<T, kPack>& pack, auto extent) {
#pragma unroll
        for (int j = 0; j < kPack; ++j) {
          const float d = extent.has(j) ? widen(pack.v[j]) - shift[j] : 0.0f;
          sum[0][j] += d;
          sum[1][j] += d * d;
        }
      });
  add_lanes(grid, place, sum);
  store_partials(grid, place, sum, partials);
}

struct FinishStatistics {
  double rows, epsilon;
  float *mean, *variance, *rstd;  // `mean` holds the estimate

  __device__ float known(int64_t channel) const { return mean[channel]; }
  __device__ void operator()(int64_t channel, float estimate, double sum, double squares) const {
    const double offset = sum / rows;
    double biased = squares / rows - offset * offset;
    biased = biased < 0 ? 0 : biased;
    mean[channel] = static_cast<float>(static_cast<double>(estimate) + offset);
    variance[channel] = static_cast<float>(biased);
    rstd[channel] = static_cast<float>(rsqrt(biased + epsilon));
  }
};

template <class T, bool HasResidual>
struct ApplyInput {
  Pack<T, kPack> x, residual;
};
template <class T>
struct ApplyInput<T, false> {
  Pack<T, kPack> x;
};

template <class T, bool Packed, bool HasResidual, bool HasMask>
__global__ void __launch_bounds__(1024) apply_kernel(WideRows wide, ColumnGrid grid, BatchNormApply args) {
  const T* x = static_cast<const T*>(args.x);
  const T* residual = static_cast<const T*>(args.residual);
  T* y = static_cast<T*>(args.y);
  const float floor = args.activation == Activation::relu ? 0.0f : -INFINITY;
  const ColumnPlace place(grid);
  if (!place.active) {
    return;
  }
  ForwardLine<kPack> line;
  line.load(args.gamma, args.beta, args.mean, args.rstd, wide.channels, wide.channel(place.column));
  for_column<T, HasResidual ? 32 : 64, Packed, Direction::up>(
      wide, grid, place,
      [&](int64_t i, auto extent) {
        ApplyInput<T, HasResidual> in;
        in.x = load_pack(x + i, extent);
        if constexpr (HasResidual) {
          in.residual = load_pack(residual + i, extent);
        }
        return in;
      },
      [&](int64_t i, const ApplyInput<T, HasResidual>& in, auto extent) {
        float out[kPack];
        unsigned bits = 0;
#pragma unroll
        for (int j = 0; j < kPack; ++j) {
          float v = line.y(j, widen(in.x.v[j]));
          if constexpr (HasResidual) {
            v += widen(in.residual.v[j]);
          }
          v = v < floor ? floor : v;
          bits |= extent.has(j) && v > kStoredAsZero<T> ? 1u << j : 0u;
          out[j] = v;
        }
        store_pack(y + i, out, extent);
        if constexpr (HasMask) {
          args.mask[i / kPack] = static_cast<uint8_t>(bits);
        }
      });
}

__global__ void commit_kernel(BatchNormCommit args) {
  if (args.state != nullptr && args.state->found_inf != 0) {
    return;
  }
  const float old = 1 - args.momentum;
  for (int64_t c = global_thread(); c < args.channels; c += grid_threads()) {
    const float correction = args.bessel_correction != nullptr ? args.bessel_correction[c] : 1.0f;
    args.running_mean[c] = old * args.running_mean[c] + args.momentum * args.batch_mean[c];
    args.running_variance[c] = old * args.running_variance[c] + args.momentum * (args.batch_variance[c] * correction);
  }
}

void run_group(const BatchNormStatistics& args, Stream& stream) {
  visit_float(args.dtype, [&]<class T>() {
    const auto* x = static_cast<const T*>(args.x);
    const WideRows wide(args.rows, args.channels);
    const ColumnGrid grid(stream, wide.count, wide.packs, kSumBlocks, 1024, kSumThreads);
    const device_api::Workspace workspace(stream.device(), partials_bytes<kPack>(grid));
    auto* partials = static_cast<float*>(workspace.data());
    const int64_t samples = std::min<int64_t>(args.rows, kSamples);
    const int64_t spacing = args.rows / std::max<int64_t>(samples, 1);
    LaunchShape shape = grid.launch;
    shape.shared_bytes = lane_sums_bytes<kPack>(shape.threads);
    visit_bool(aligned_to(sizeof(Pack<T, kPack>), x), [&](auto packed) {
      launch(stream, shape, statistics_kernel<T, packed()>, wide, grid, x, samples, spacing, args.mean, partials);
    });
    finish_sums<kPack>(stream, grid, args.channels, partials,
                       FinishStatistics{static_cast<double>(args.rows), static_cast<double>(args.epsilon), args.mean,
                                        args.variance, args.rstd});
  });
}

void run_group(const BatchNormApply& args, Stream& stream) {
  visit_float(args.dtype, [&]<class T>() {
    const WideRows wide(args.rows, args.channels);
    const ColumnGrid grid(stream, wide.count, wide.packs);
    const bool aligned = aligned_to(sizeof(Pack<T, kPack>), args.x, args.residual, args.y);
    visit_bool(aligned, [&](auto packed) {
      visit_bool(args.residual != nullptr, [&](auto has_residual) {
        visit_bool(args.mask != nullptr, [&](auto has_mask) {
          launch(stream, grid.launch, apply_kernel<T, packed(), has_residual(), has_mask()>, wide, grid, args);
        });
      });
    });
  });
}

}  // namespace

void run(const BatchNormStatistics& args, Stream& stream) {
  for_each_group(args, [&](const BatchNormStatistics& group) { run_group(group, stream); });
}

void run(const BatchNormApply& args, Stream& stream) {
  for_each_group(args, [&](const BatchNormApply& group) { run_group(group, stream); });
}

void run(const BatchNormCommit& args, Stream& stream) { launch(stream, grid_for(stream, args.channels), commit_kernel, args); }

}  // namespace residua::cuda
