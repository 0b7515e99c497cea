#pragma once

#include "cuda/device/columns.cuh"

// The arithmetic of batch normalisation, for the kernels that fuse it with different things.
namespace residua::cuda {

/// gamma * (x - mean) * rstd + beta of N channels as scale * x + shift: its rounding error is that of an x in fp32 whose
/// distance from 0 is as large.
template <int N>
struct ForwardLine {
  float scale[N], shift[N];

  __device__ void load(const float* gamma, const float* beta, const float* mean, const float* rstd, int64_t channels,
                       int64_t first) {
    float other[N];
    load_channels(gamma, channels, first, scale);
    load_channels(rstd, channels, first, other);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      scale[j] *= other[j];
    }
    load_channels(beta, channels, first, shift);
    load_channels(mean, channels, first, other);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      shift[j] -= scale[j] * other[j];
    }
  }
  __device__ float y(int j, float x) const { return scale[j] * x + shift[j]; }
};

/// gamma * rstd * (g - sum_g / rows - xhat * sum_g_xhat / rows) of N channels as a * g + (b * x + c).
template <int N>
struct BackwardLine {
  float a[N], b[N], c[N];

  __device__ void load(const float* gamma, const float* mean, const float* rstd, const float* sum_g, const float* sum_g_xhat,
                       int64_t rows, int64_t channels, int64_t first) {
    const float per_row = 1 / static_cast<float>(rows);
    float other[N];
    load_channels(gamma, channels, first, a);
    load_channels(rstd, channels, first, other);
    load_channels(sum_g_xhat, channels, first, b);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      a[j] *= other[j];
      b[j] *= -a[j] * other[j] * per_row;
    }
    load_channels(sum_g, channels, first, c);
    load_channels(mean, channels, first, other);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      c[j] = -a[j] * (c[j] * per_row) - b[j] * other[j];
    }
  }
  __device__ float dx(int j, float g, float x) const { return a[j] * g + (b[j] * x + c[j]); }
};

/// From the sums of g and of g * (x - mean).
struct FinishBackward {
  const float* rstd;
  float *sum_g, *sum_g_xhat;

  __device__ void operator()(int64_t channel, double g, double g_centred) const {
    sum_g[channel] = static_cast<float>(g);
    sum_g_xhat[channel] = static_cast<float>(g_centred * static_cast<double>(rstd[channel]));
  }
};

}  // namespace residua::cuda
