#include "core/kernels/batch_norm_relu_max_pool.h"

#include "core/cpu/isa.h"
#include "core/cpu/max_pool_walk.h"
#include "core/cpu/scratch.h"
#include "core/kernels/batch_norm_groups.h"

namespace residua::cpu::RESIDUA_ISA {
namespace {

/// Scratch memory for `count` tables with one float per channel.
float* tables(int64_t channels, int64_t count) {
  return static_cast<float*>(scratch(channels * count * static_cast<int64_t>(sizeof(float))));
}

template <class T>
void forward(const BatchNormReluMaxPoolForward& args) {
  const int64_t channels = args.shape.channels;
  const T* x = static_cast<const T*>(args.x);
  T* y = static_cast<T*>(args.y);
  uint8_t* index = args.index;
  const float* means = args.mean;
  const float* betas = args.beta;
  float* scales = tables(channels, 1);
  for (int64_t c = 0; c < channels; ++c) {
    scales[c] = args.gamma[c] * args.rstd[c];
  }
  for_maxima(
      args.shape,
      [=](int64_t c, auto extent) {
        constexpr int kVectors = decltype(extent)::kVectors;
        struct Parameters {
          Floats mean[kVectors], scale[kVectors], beta[kVectors];
        } p;
        for (int v = 0; v < kVectors; ++v) {
          p.mean[v] = load(means + c + v * kLanes, extent);
          p.scale[v] = load(scales + c + v * kLanes, extent);
          p.beta[v] = load(betas + c + v * kLanes, extent);
        }
        return [=](int64_t i, int v) { return (load(x + i, extent) - p.mean[v]) * p.scale[v] + p.beta[v]; };
      },
      [=](int64_t i, Floats best, Ints winner, auto extent) {
        store(y + i, at_least(best, 0), extent);
        if (index != nullptr) {
          store_bytes(index + i, best > kStoredAsZero<T> ? winner : Ints{} + kNoWinner, extent);
        }
      });
}

template <class T>
void backward_reduce(const BatchNormReluMaxPoolBackwardReduce& args) {
  const PoolShape s = args.shape;
  const T* x = static_cast<const T*>(args.x);
  const T* dy = static_cast<const T*>(args.dy);
  const uint8_t* index = args.index;
  const float* means = args.mean;
  const int64_t width = 2 * s.channels;
  // Sums in floats over a row of pixels, then in doubles over the rows.
  double* totals = static_cast<double*>(scratch(thread_count() * width * static_cast<int64_t>(sizeof(double))));
  const int parts = parallel_ranges(s.batch * s.in_height, 1, [=](int thread, int64_t begin, int64_t end) {
    double* total = totals + thread * width;
    std::memset(total, 0, static_cast<size_t>(width) * sizeof(double));
    for (int64_t row = begin; row < end; ++row) {
      for_blocks<4>(s.channels, [=](int64_t c, auto extent) {
        constexpr int kVectors = decltype(extent)::kVectors;
        Floats mean[kVectors];
        for (int v = 0; v < kVectors; ++v) {
          mean[v] = load(means + c + v * kLanes, extent);
        }
        Floats sums[2 * kVectors] = {};
        for_gradients(s, dy, index, row, c, extent, [&](int64_t i, Floats g, int v) {
          sums[v] += g;
          sums[kVectors + v] += g * (load(x + i, extent) - mean[v]);
        });
        for (int v = 0; v < kVectors; ++v) {
          const int64_t first = c + v * kLanes;
          for (int64_t lane = 0; lane < kLanes && first + lane < s.channels; ++lane) {
            total[first + lane] += static_cast<double>(sums[v][lane]);
            total[s.channels + first + lane] += static_cast<double>(sums[kVectors + v][lane]);
          }
        }
      });
    }
  });
  for (int64_t c = 0; c < s.channels; ++c) {
    double sum_g = 0;
    double sum_g_centered = 0;
    for (int part = 0; part < parts; ++part) {
      sum_g += totals[part * width + c];
      sum_g_centered += totals[part * width + s.channels + c];
    }
    args.sum_g[c] = static_cast<float>(sum_g);
    args.sum_g_xhat[c] = static_cast<float>(sum_g_centered * static_cast<double>(args.rstd[c]));
  }
}

template <class T>
void backward_apply(const BatchNormReluMaxPoolBackwardApply& args) {
  const PoolShape s = args.shape;
  const T* x = static_cast<const T*>(args.x);
  const T* dy = static_cast<const T*>(args.dy);
  const uint8_t* index = args.index;
  const float* means = args.mean;
  T* dx = static_cast<T*>(args.dx);
  // dx = a * g + b * (x - mean) + c, as in batch_norm.cpp
  float* as = tables(s.channels, 3);
  float* bs = as + s.channels;
  float* cs = bs + s.channels;
  const float per_row = 1 / static_cast<float>(s.batch * s.in_height * s.in_width);
  for (int64_t c = 0; c < s.channels; ++c) {
    as[c] = args.gamma[c] * args.rstd[c];
    bs[c] = -as[c] * args.rstd[c] * (args.sum_g_xhat[c] * per_row);
    cs[c] = -as[c] * (args.sum_g[c] * per_row);
  }
  parallel_ranges(s.batch * s.in_height, 1, [=](int, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      for_blocks<4>(s.channels, [=](int64_t channel, auto extent) {
        constexpr int kVectors = decltype(extent)::kVectors;
        Floats mean[kVectors], a[kVectors], b[kVectors], c[kVectors];
        for (int v = 0; v < kVectors; ++v) {
          mean[v] = load(means + channel + v * kLanes, extent);
          a[v] = load(as + channel + v * kLanes, extent);
          b[v] = load(bs + channel + v * kLanes, extent);
          c[v] = load(cs + channel + v * kLanes, extent);
        }
        for_gradients(s, dy, index, row, channel, extent, [&](int64_t i, Floats g, int v) {
          store(dx + i, a[v] * g + (b[v] * (load(x + i, extent) - mean[v]) + c[v]), extent);
        });
      });
    }
  });
}

}  // namespace

void run(const BatchNormReluMaxPoolForward& args, Stream&) {
  visit_float(args.dtype,
              [&]<class T>() { for_each_group(args, [](const BatchNormReluMaxPoolForward& group) { forward<T>(group); }); });
}

void run(const BatchNormReluMaxPoolBackwardReduce& args, Stream&) {
  visit_float(args.dtype, [&]<class T>() {
    for_each_group(args, [](const BatchNormReluMaxPoolBackwardReduce& group) { backward_reduce<T>(group); });
  });
}

void run(const BatchNormReluMaxPoolBackwardApply& args, Stream&) {
  visit_float(args.dtype, [&]<class T>() {
    for_each_group(args, [](const BatchNormReluMaxPoolBackwardApply& group) { backward_apply<T>(group); });
  });
}

}  // namespace residua::cpu::RESIDUA_ISA

RESIDUA_CPU_KERNEL(residua::BatchNormReluMaxPoolForward)
RESIDUA_CPU_KERNEL(residua::BatchNormReluMaxPoolBackwardReduce)
RESIDUA_CPU_KERNEL(residua::BatchNormReluMaxPoolBackwardApply)
