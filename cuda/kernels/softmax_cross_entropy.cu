// One warp per row; its lanes load packs of 16 bytes of the logits. Forward reads a row for its maximum and again for the rest;
// the second read hits L1, so each byte crosses device memory once. A warp counts the errors of all its rows, then adds them to
// counters that an earlier launch cleared. They are integers, so the order does not matter. In backward, each block counts the
// labeled rows itself: 4 bytes per row, little beside the logits.
#include "core/kernels/softmax_cross_entropy.h"

#include "cuda/device/block.cuh"
#include "cuda/device/vec.cuh"

namespace residua::cuda {
namespace {

constexpr float kInfinity = HUGE_VALF;
constexpr int kThreads = 64;  // per block; few, so that the rows of a batch spread over all multiprocessors

__device__ inline int64_t global_warp() { return global_thread() / kWarp; }
__device__ inline int64_t grid_warps() { return grid_threads() / kWarp; }

/// Calls body(class, logit) for this lane's elements of a row.
template <int N, class T, class Body>
__device__ inline void for_logits(const T* row, int64_t classes, const Body& body) {
#pragma unroll 4
  for (int64_t c = lane() * N; c < classes; c += kWarp * N) {
    float z[N];
    load(row + c, z);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      body(c + j, z[j]);
    }
  }
}

__global__ void clear_counters(int32_t* top1_errors, int32_t* top5_errors) {
  if (global_thread() == 0) {
    *top1_errors = 0;
    *top5_errors = 0;
  }
}

template <class T, int N>
__global__ void softmax_cross_entropy_forward(SoftmaxCrossEntropyForward args) {
  int top1_errors = 0;
  int top5_errors = 0;
  for (int64_t r = global_warp(); r < args.rows; r += grid_warps()) {
    const T* row = static_cast<const T*>(args.logits) + r * args.classes;
    const int32_t label = args.labels[r];
    const float own = label < 0 ? 0 : widen(row[label]);
    float most = -kInfinity;
    for_logits<N>(row, args.classes, [&](int64_t, float z) { most = z > most ? z : most; });
    most = warp_max(most);
    float exponentials = 0;
    float differences = 0;
    int before = 0;  // classes that rank before the label by logit
    bool unordered = false;
    for_logits<N>(row, args.classes, [&](int64_t c, float z) {
      exponentials += expf(z - most);
      differences += z - most;
      before += z > own || (z == own && c < label) ? 1 : 0;
      unordered |= z != z;
    });
    exponentials = warp_sum(exponentials);
    differences = warp_sum(differences);
    before = warp_sum(before);
    unordered = ballot(unordered) != 0;
    if (lane() == 0) {
      const float log_sum = logf(exponentials);
      const float smoothing = args.label_smoothing;
      args.log_sum_exp[r] = most + log_sum;
      float loss = 0;
      if (label >= 0) {
        loss = (1 - smoothing) * (log_sum - (own - most));
        if (smoothing > 0) {
          loss += smoothing * (log_sum - differences / static_cast<float>(args.classes));
        }
        top1_errors += unordered || before >= 1 ? 1 : 0;
        top5_errors += unordered || before >= 5 ? 1 : 0;
      }
      args.loss[r] = loss;
    }
  }
  if (top1_errors != 0) {
    atomicAdd(args.top1_errors, top1_errors);
  }
  if (top5_errors != 0) {
    atomicAdd(args.top5_errors, top5_errors);
  }
}

template <class T, int N>
__global__ void softmax_cross_entropy_backward(SoftmaxCrossEntropyBackward args) {
  int counted = 0;
  for (int64_t r = threadIdx.x; r < args.rows; r += blockDim.x) {
    counted += args.labels[r] >= 0 ? 1 : 0;
  }
  counted = block_sum(counted);
  const float scale = counted == 0 ? 0 : *args.dloss / static_cast<float>(counted);
  const float uniform = args.label_smoothing / static_cast<float>(args.classes);
  for (int64_t r = global_warp(); r < args.rows; r += grid_warps()) {
    const T* row = static_cast<const T*>(args.logits) + r * args.classes;
    T* gradient = static_cast<T*>(args.dlogits) + r * args.classes;
    const int32_t label = args.labels[r];
    const float log_sum_exp = args.log_sum_exp[r];
    for (int64_t c = lane() * N; c < args.classes; c += kWarp * N) {
      float z[N] = {};
      if (label >= 0) {
        load(row + c, z);
#pragma unroll
        for (int j = 0; j < N; ++j) {
          const float target = uniform + (c + j == label ? 1 - args.label_smoothing : 0);
          z[j] = scale * (expf(z[j] - log_sum_exp) - target);
        }
      }
      store(gradient + c, z);
    }
  }
}

/// One warp per row.
LaunchShape grid_for_rows(const Stream& stream, int64_t rows) { return grid_for(stream, rows * kWarp, kThreads); }

}  // namespace

void run(const SoftmaxCrossEntropyForward& args, Stream& stream) {
  visit_float(args.dtype, [&]<class T>() {
    const bool packed = args.classes % kVec<T> == 0 && aligned_to(16, static_cast<const T*>(args.logits));
    visit_pack<T>(packed, [&]<int N>(Elements<N>) {
      launch(stream, {1, kWarp}, clear_counters, args.top1_errors, args.top5_errors);
      launch(stream, grid_for_rows(stream, args.rows), softmax_cross_entropy_forward<T, N>, args);
    });
  });
}

void run(const SoftmaxCrossEntropyBackward& args, Stream& stream) {
  visit_float(args.dtype, [&]<class T>() {
    const bool packed =
        args.classes % kVec<T> == 0 && aligned_to(16, static_cast<const T*>(args.logits), static_cast<const T*>(args.dlogits));
    visit_pack<T>(packed, [&]<int N>(Elements<N>) {
      launch(stream, grid_for_rows(stream, args.rows), softmax_cross_entropy_backward<T, N>, args);
    });
  });
}

}  // namespace residua::cuda
