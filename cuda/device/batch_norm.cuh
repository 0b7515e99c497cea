#pragma once

#include "cuda/device/columns.cuh"

// The arithmetic of batch normalization, shared by the kernels that fuse it with other operations.
namespace residua::cuda {

/// Computes gamma * (x - mean) * rstd + beta for N channels as scale * x + shift. The rounding error is about that of rounding
/// x itself to fp32.
template <int N>
struct ForwardLine {
  float scale[N], shift[N];

  __device__ void load(const float* gamma, const float* beta, const float* mean, const float* rstd, int64_t channels,
                       int64_t first) {
    float of[4][N];
    load_channels({gamma, rstd, beta, mean}, channels, first, of);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      scale[j] = of[0][j] * of[1][j];
      shift[j] = of[2][j] - scale[j] * of[3][j];
    }
  }
  __device__ float y(int j, float x) const { return scale[j] * x + shift[j]; }
};

/// Computes gamma * rstd * (g - sum_g / rows - xhat * sum_g_xhat / rows) for N channels as a * g + (b * x + c).
template <int N>
struct BackwardLine {
  float a[N], b[N], c[N];

  __device__ void load(const float* gamma, const float* mean, const float* rstd, const float* sum_g, const float* sum_g_xhat,
                       int64_t rows, int64_t channels, int64_t first) {
    const float per_row = 1 / static_cast<float>(rows);
    float of[5][N];
    load_channels({gamma, rstd, sum_g_xhat, sum_g, mean}, channels, first, of);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      a[j] = of[0][j] * of[1][j];
      b[j] = of[2][j] * (-a[j] * of[1][j] * per_row);
      c[j] = -a[j] * (of[3][j] * per_row) - b[j] * of[4][j];
    }
  }
  __device__ float dx(int j, float g, float x) const { return a[j] * g + (b[j] * x + c[j]); }
};

/// Computes sum_g and sum_g_xhat from the sums of g and of g * (x - mean).
struct FinishBackward {
  const float* rstd;
  float *sum_g, *sum_g_xhat;

  __device__ float known(int64_t channel) const { return rstd[channel]; }
  __device__ void operator()(int64_t channel, float rstd_of_channel, double g, double g_centered) const {
    sum_g[channel] = static_cast<float>(g);
    sum_g_xhat[channel] = static_cast<float>(g_centered * static_cast<double>(rstd_of_channel));
  }
};

}  // namespace residua::cuda
