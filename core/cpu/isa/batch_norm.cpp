#include "core/kernels/batch_norm.h"

#include <cmath>

#include "core/cpu/isa.h"
#include "core/cpu/wide_rows.h"
#include "core/kernels/batch_norm_groups.h"

namespace residua::cpu::RESIDUA_ISA {
namespace {

/// Estimates each channel's mean, so that sums of differences from it do not cancel: the mean of up to 16 rows spread over x.
/// It is rounded to T; otherwise its extra bits, which no x has, would cause the same rounding error in every sum.
template <class T>
void estimate_means(const T* x, int64_t rows, int64_t channels, float* estimate) {
  const int64_t samples = rows < 16 ? rows : 16;
  for_blocks<1>(channels, [&](int64_t c, auto extent) {
    Floats total{};
    for (int64_t s = 0; s < samples; ++s) {
      total += load(x + rows * s / samples * channels + c, extent);
    }
    T rounded[kLanes];
    store(rounded, total / static_cast<float>(samples));
    store(estimate + c, load(rounded), extent);
  });
}

template <class T>
void statistics(const BatchNormStatistics& args) {
  const T* x = static_cast<const T*>(args.x);
  const WideRows wide(args.rows, args.channels);
  ColumnSums<2> sums(wide, 1);
  float* shifts = sums.table(0);
  estimate_means(x, args.rows, args.channels, args.mean);
  wide.fill(shifts, [&](int64_t c) { return args.mean[c]; });
  sums.run([=](int64_t first, int64_t column, int64_t rows, auto extent, Floats* sum) {
    constexpr int kVectors = decltype(extent)::kVectors;
    Floats shift[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      shift[v] = load(shifts + column + v * kLanes);
    }
    for (int64_t r = 0; r < rows; ++r) {
      for (int v = 0; v < kVectors; ++v) {
        const Floats d = within(extent, load(x + first + r * wide.width + v * kLanes, extent) - shift[v], Floats{});
        sum[v] += d;
        sum[kVectors + v] += d * d;
      }
    }
  });
  const double n = static_cast<double>(args.rows);
  for (int64_t c = 0; c < args.channels; ++c) {
    const double offset = sums.total(0, c) / n;
    const double variance = sums.total(1, c) / n - offset * offset;
    args.mean[c] = static_cast<float>(static_cast<double>(args.mean[c]) + offset);
    args.variance[c] = static_cast<float>(variance < 0 ? 0 : variance);
    args.rstd[c] = static_cast<float>(1 / std::sqrt((variance < 0 ? 0 : variance) + static_cast<double>(args.epsilon)));
  }
}

template <class T, bool HasResidual, bool HasMask>
void apply(const BatchNormApply& args) {
  const T* x = static_cast<const T*>(args.x);
  const T* residual = static_cast<const T*>(args.residual);
  T* y = static_cast<T*>(args.y);
  uint8_t* mask = args.mask;
  const float floor = args.activation == Activation::relu ? 0 : -__builtin_inff();
  const WideRows wide(args.rows, args.channels);
  float* means = static_cast<float*>(scratch(3 * wide.width * static_cast<int64_t>(sizeof(float))));
  float* scales = means + wide.width;
  float* betas = scales + wide.width;
  wide.fill(means, [&](int64_t c) { return args.mean[c]; });
  wide.fill(scales, [&](int64_t c) { return args.gamma[c] * args.rstd[c]; });
  wide.fill(betas, [&](int64_t c) { return args.beta[c]; });
  wide.parallel([=](int64_t begin, int64_t end, int64_t tail) {
    for_tiles(wide, begin, end, tail, [=](int64_t first, int64_t column, int64_t rows, auto extent) {
      constexpr int kVectors = decltype(extent)::kVectors;
      Floats mean[kVectors], scale[kVectors], beta[kVectors];
      for (int v = 0; v < kVectors; ++v) {
        mean[v] = load(means + column + v * kLanes);
        scale[v] = load(scales + column + v * kLanes);
        beta[v] = load(betas + column + v * kLanes);
      }
      for (int64_t r = 0; r < rows; ++r) {
        for (int v = 0; v < kVectors; ++v) {
          const int64_t i = first + r * wide.width + v * kLanes;
          Floats value = (load(x + i, extent) - mean[v]) * scale[v] + beta[v];
          if constexpr (HasResidual) {
            value += load(residual + i, extent);
          }
          value = at_least(value, floor);
          if constexpr (HasMask) {
            store_bits(mask + (i >> 3), bits_above(value, kStoredAsZero<T>), extent);
          }
          store(y + i, value, extent);
        }
      }
    });
  });
}

/// g where the mask is set.
template <bool HasMask, class Extent>
RESIDUA_INLINE Floats masked(const uint8_t* mask, int64_t i, Floats g, Extent extent) {
  if constexpr (HasMask) {
    return keep(load_bits(mask + (i >> 3), extent), g);
  } else {
    return g;
  }
}

template <class T, bool HasMask, bool HasMore, bool StoresG>
void backward_reduce(const BatchNormBackwardReduce& args) {
  const T* x = static_cast<const T*>(args.x);
  const T* dy = static_cast<const T*>(args.dy);
  const T* more = static_cast<const T*>(args.more);
  const uint8_t* mask = args.mask;
  T* stored = static_cast<T*>(args.g);
  const WideRows wide(args.rows, args.channels);
  ColumnSums<2> sums(wide, 1);
  float* means = sums.table(0);
  wide.fill(means, [&](int64_t c) { return args.mean[c]; });
  sums.run([=](int64_t first, int64_t column, int64_t rows, auto extent, Floats* sum) {
    constexpr int kVectors = decltype(extent)::kVectors;
    Floats mean[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      mean[v] = load(means + column + v * kLanes);
    }
    for (int64_t r = 0; r < rows; ++r) {
      for (int v = 0; v < kVectors; ++v) {
        const int64_t i = first + r * wide.width + v * kLanes;
        Floats g = load(dy + i, extent);
        if constexpr (HasMore) {
          g += load(more + i, extent);
        }
        g = masked<HasMask>(mask, i, g, extent);
        if constexpr (StoresG) {
          store(stored + i, g, extent);
        }
        if constexpr (HasMore && sizeof(T) < sizeof(float)) {
          g = load(stored + i, extent);  // the rounded value
        }
        const Floats centered = within(extent, load(x + i, extent) - mean[v], Floats{});
        sum[v] += g;
        sum[kVectors + v] += g * centered;
      }
    }
  });
  for (int64_t c = 0; c < args.channels; ++c) {
    args.sum_g[c] = static_cast<float>(sums.total(0, c));
    args.sum_g_xhat[c] = static_cast<float>(sums.total(1, c) * static_cast<double>(args.rstd[c]));
  }
}

template <class T, bool HasMask>
void backward_apply(const BatchNormBackwardApply& args) {
  const T* x = static_cast<const T*>(args.x);
  const T* dy = static_cast<const T*>(args.dy);
  const uint8_t* mask = args.mask;
  T* dx = static_cast<T*>(args.dx);
  const WideRows wide(args.rows, args.channels);
  // dx = a * g + b * (x - mean) + c
  float* means = static_cast<float*>(scratch(4 * wide.width * static_cast<int64_t>(sizeof(float))));
  float* as = means + wide.width;
  float* bs = as + wide.width;
  float* cs = bs + wide.width;
  const float per_row = 1 / static_cast<float>(args.rows);
  wide.fill(means, [&](int64_t c) { return args.mean[c]; });
  wide.fill(as, [&](int64_t c) { return args.gamma[c] * args.rstd[c]; });
  wide.fill(bs, [&](int64_t c) { return -as[c] * args.rstd[c] * (args.sum_g_xhat[c] * per_row); });
  wide.fill(cs, [&](int64_t c) { return -as[c] * (args.sum_g[c] * per_row); });
  wide.parallel([=](int64_t begin, int64_t end, int64_t tail) {
    for_tiles(wide, begin, end, tail, [=](int64_t first, int64_t column, int64_t rows, auto extent) {
      constexpr int kVectors = decltype(extent)::kVectors;
      Floats mean[kVectors], a[kVectors], b[kVectors], c[kVectors];
      for (int v = 0; v < kVectors; ++v) {
        mean[v] = load(means + column + v * kLanes);
        a[v] = load(as + column + v * kLanes);
        b[v] = load(bs + column + v * kLanes);
        c[v] = load(cs + column + v * kLanes);
      }
      for (int64_t r = 0; r < rows; ++r) {
        for (int v = 0; v < kVectors; ++v) {
          const int64_t i = first + r * wide.width + v * kLanes;
          const Floats g = masked<HasMask>(mask, i, load(dy + i, extent), extent);
          const Floats centered = load(x + i, extent) - mean[v];
          store(dx + i, a[v] * g + (b[v] * centered + c[v]), extent);
        }
      }
    });
  });
}

}  // namespace

void run(const BatchNormStatistics& args, Stream&) {
  visit_float(args.dtype,
              [&]<class T>() { for_each_group(args, [](const BatchNormStatistics& group) { statistics<T>(group); }); });
}

void run(const BatchNormApply& args, Stream&) {
  visit_float(args.dtype, [&]<class T>() {
    for_each_group(args, [](const BatchNormApply& group) {
      if (group.residual != nullptr) {
        group.mask != nullptr ? apply<T, true, true>(group) : apply<T, true, false>(group);
      } else {
        group.mask != nullptr ? apply<T, false, true>(group) : apply<T, false, false>(group);
      }
    });
  });
}

void run(const BatchNormBackwardReduce& args, Stream&) {
  visit_float(args.dtype, [&]<class T>() {
    for_each_group(args, [](const BatchNormBackwardReduce& group) {
      const bool masked = group.mask != nullptr;
      if (group.more != nullptr) {
        masked ? backward_reduce<T, true, true, true>(group) : backward_reduce<T, false, true, true>(group);
      } else if (group.g != nullptr) {
        masked ? backward_reduce<T, true, false, true>(group) : backward_reduce<T, false, false, true>(group);
      } else {
        masked ? backward_reduce<T, true, false, false>(group) : backward_reduce<T, false, false, false>(group);
      }
    });
  });
}

void run(const BatchNormBackwardApply& args, Stream&) {
  visit_float(args.dtype, [&]<class T>() {
    for_each_group(args, [](const BatchNormBackwardApply& group) {
      group.mask != nullptr ? backward_apply<T, true>(group) : backward_apply<T, false>(group);
    });
  });
}

void run(const BatchNormCommit& args, Stream&) {
  if (args.state != nullptr && args.state->found_inf != 0) {
    return;
  }
  const float old = 1 - args.momentum;
  for (int64_t c = 0; c < args.channels; ++c) {
    const float correction = args.bessel_correction != nullptr ? args.bessel_correction[c] : 1;
    args.running_mean[c] = old * args.running_mean[c] + args.momentum * args.batch_mean[c];
    args.running_variance[c] = old * args.running_variance[c] + args.momentum * (args.batch_variance[c] * correction);
  }
}

}  // namespace residua::cpu::RESIDUA_ISA

RESIDUA_CPU_KERNEL(residua::BatchNormStatistics)
RESIDUA_CPU_KERNEL(residua::BatchNormApply)
RESIDUA_CPU_KERNEL(residua::BatchNormBackwardReduce)
RESIDUA_CPU_KERNEL(residua::BatchNormBackwardApply)
RESIDUA_CPU_KERNEL(residua::BatchNormCommit)
