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

/// The sums of two quantities for each channel, in floats over a row of pixels, then in doubles over the rows. For a row and a
/// block of channels, `add(row, channel, extent, sums)` adds the first to the first half of `sums`, and the second to the
/// other. Then calls finish(channel, first, second).
template <class Add, class Finish>
void sum_rows(int64_t rows, int64_t channels, const Add& add, const Finish& finish) {
  const int64_t width = 2 * channels;
  double* totals = static_cast<double*>(scratch(parts_of_sums(width) * width * static_cast<int64_t>(sizeof(double))));
  const int parts = parallel_sums(rows, 1, width, [=](int, int part, int64_t begin, int64_t end) {
    double* total = totals + part * width;
    std::memset(total, 0, static_cast<size_t>(width) * sizeof(double));
    for (int64_t row = begin; row < end; ++row) {
      for_blocks<4>(channels, [=](int64_t c, auto extent) {
        constexpr int kVectors = decltype(extent)::kVectors;
        Floats sums[2 * kVectors] = {};
        add(row, c, extent, sums);
        for (int v = 0; v < kVectors; ++v) {
          const int64_t first = c + v * kLanes;
          for (int64_t lane = 0; lane < kLanes && first + lane < channels; ++lane) {
            total[first + lane] += static_cast<double>(sums[v][lane]);
            total[channels + first + lane] += static_cast<double>(sums[kVectors + v][lane]);
          }
        }
      });
    }
  });
  for (int64_t c = 0; c < channels; ++c) {
    double first = 0;
    double second = 0;
    for (int part = 0; part < parts; ++part) {
      first += totals[part * width + c];
      second += totals[part * width + channels + c];
    }
    finish(c, first, second);
  }
}

/// From y alone.
template <class T>
void reduce_pooled(const BatchNormReluMaxPoolBackwardReduce& args) {
  const PoolShape s = args.shape;
  const T* y = static_cast<const T*>(args.y);
  const T* dy = static_cast<const T*>(args.dy);
  const float* betas = args.beta;
  sum_rows(
      s.batch * s.out_height(), s.channels,
      [=](int64_t row, int64_t c, auto extent, Floats* sums) {
        constexpr int kVectors = decltype(extent)::kVectors;
        Floats beta[kVectors];
        for (int v = 0; v < kVectors; ++v) {
          beta[v] = load(betas + c + v * kLanes, extent);
        }
        const int64_t end = (row + 1) * s.out_width() * s.channels;
        for (int64_t i = row * s.out_width() * s.channels + c; i < end; i += s.channels) {
          for (int v = 0; v < kVectors; ++v) {
            const Floats pooled = load(y + i + v * kLanes, extent);
            const Floats g = select(pooled > 0, load(dy + i + v * kLanes, extent), Floats{});
            sums[v] += g;
            sums[kVectors + v] += select(pooled > 0, g * (pooled - beta[v]), Floats{});
          }
        }
      },
      [&](int64_t c, double sum_g, double sum_g_scaled) {
        args.sum_g[c] = static_cast<float>(sum_g);
        args.sum_g_xhat[c] = static_cast<float>(sum_g_scaled / static_cast<double>(args.gamma[c]));
      });
}

template <class T>
void reduce_pixels(const BatchNormReluMaxPoolBackwardReduce& args) {
  const PoolShape s = args.shape;
  const T* x = static_cast<const T*>(args.x);
  const T* dy = static_cast<const T*>(args.dy);
  const uint8_t* index = args.index;
  const float* means = args.mean;
  sum_rows(
      s.batch * s.in_height, s.channels,
      [=](int64_t row, int64_t c, auto extent, Floats* sums) {
        constexpr int kVectors = decltype(extent)::kVectors;
        Floats mean[kVectors];
        for (int v = 0; v < kVectors; ++v) {
          mean[v] = load(means + c + v * kLanes, extent);
        }
        for_gradients(s, dy, index, row, c, extent, [&](int64_t i, Floats g, int v) {
          sums[v] += g;
          sums[kVectors + v] += g * (load(x + i, extent) - mean[v]);
        });
      },
      [&](int64_t c, double sum_g, double sum_g_centered) {
        args.sum_g[c] = static_cast<float>(sum_g);
        args.sum_g_xhat[c] = static_cast<float>(sum_g_centered * static_cast<double>(args.rstd[c]));
      });
}

template <class T>
void backward_reduce(const BatchNormReluMaxPoolBackwardReduce& args) {
  bool pooled = true;
  for (int64_t c = 0; c < args.shape.channels; ++c) {
    const float gamma = __builtin_fabsf(args.gamma[c]);
    pooled = pooled && gamma >= kLeastGamma && __builtin_fabsf(args.beta[c]) <= kMostBetaPerGamma * gamma;
  }
  if (pooled) {
    reduce_pooled<T>(args);
  } else {
    reduce_pixels<T>(args);
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
