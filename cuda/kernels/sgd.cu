// One SGD step over a flat arena. A thread has two packs of four elements in flight (16 bytes of weight and of velocity each).
// Weight and velocity cross device memory twice (read and write), the gradient and the 16-bit copy once.
#include "core/kernels/sgd.h"

#include "cuda/device/pack_batches.cuh"

namespace residua::cuda {
namespace {

constexpr int kBatch = 2;

template <class G, int N>
struct Element {
  Pack<float, N> weight, velocity;
  Pack<G, N> gradient;
};

template <class G, class Copy, int N>
__global__ void sgd_kernel(SgdUpdate args) {
  if (args.state->found_inf != 0) {
    return;
  }
  const float learning_rate = args.state->learning_rate;
  const float unscale = 1 / args.state->loss_scale;
  const auto* gradient = static_cast<const G*>(args.gradient);
  auto* copy = static_cast<Copy*>(args.copy);
  for_pack_batches<N, kBatch>(
      args.size,
      [&]<int K>(int64_t i, Elements<K>) {
        return Element<G, K>{pack_at<K>(args.weight + i), pack_at<K>(args.velocity + i), pack_at<K>(gradient + i)};
      },
      [&]<int K>(int64_t i, const Element<G, K>& element) {
        float weight[K];
        float velocity[K];
        float gradients[K];
        widen(element.weight, weight);
        widen(element.velocity, velocity);
        widen(element.gradient, gradients);
#pragma unroll
        for (int j = 0; j < K; ++j) {
          velocity[j] = args.momentum * velocity[j] + (gradients[j] * unscale + args.weight_decay * weight[j]);
          weight[j] -= learning_rate * velocity[j];
        }
        store(args.velocity + i, velocity);
        store(args.weight + i, weight);
        if (copy != nullptr) {
          store(copy + i, weight);
        }
      });
}

}  // namespace

void run(const SgdUpdate& args, Stream& stream) {
  visit_float(args.gradient_dtype, [&]<class G>() {
    const auto update = [&]<class Copy>() {
      const bool packed =
          aligned_to(16, args.weight, args.velocity, static_cast<const G*>(args.gradient), static_cast<const Copy*>(args.copy));
      visit_pack<float>(packed, [&]<int N>(Elements<N>) {
        launch(stream, grid_for_batches(stream, args.size / N, kBatch), sgd_kernel<G, Copy, N>, args);
      });
    };
    if (args.copy_dtype == DType::f16) {
      update.template operator()<f16>();
    } else {
      update.template operator()<bf16>();
    }
  });
}

}  // namespace residua::cuda
