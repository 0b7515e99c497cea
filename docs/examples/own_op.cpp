// An operation with a kernel of one's own: SiLU, y = x * sigmoid(x), with its gradient. Its contract and its CPU kernel stand
// beside each other in a namespace of one's own. It has no CUDA kernel, so that it fails on a CUDA device when it runs.
#include <cmath>
#include <cstdio>
#include <vector>

#include "core/autograd/tape.h"
#include "core/kernels/run.h"
#include "core/tensor/tensor.h"

namespace mine {

/// y = x * sigmoid(x), in fp32.
struct SiluForward {
  int64_t size;
  const float* x;  // [size]
  float* y;        // [size], overwritten
};

/// dx = dy * s * (1 + x * (1 - s)) with s = sigmoid(x).
struct SiluBackward {
  int64_t size;
  const float* x;   // [size]
  const float* dy;  // [size]
  float* dx;        // [size], overwritten
};

void run(const SiluForward& args, residua::cpu::Stream& /*stream*/) {
  for (int64_t i = 0; i < args.size; ++i) {
    args.y[i] = args.x[i] / (1 + std::exp(-args.x[i]));
  }
}

void run(const SiluBackward& args, residua::cpu::Stream& /*stream*/) {
  for (int64_t i = 0; i < args.size; ++i) {
    const float s = 1 / (1 + std::exp(-args.x[i]));
    args.dx[i] = args.dy[i] * s * (1 + args.x[i] * (1 - s));
  }
}

residua::Tensor silu(const residua::Tensor& x) {
  const residua::Tensor y = residua::empty_like(x);
  residua::run(x.device(), SiluForward{.size = x.size(), .x = x.data<float>(), .y = y.data<float>()});
  return residua::record(y, {x}, "silu", [x = x.detached()](const residua::Tensor& dy, residua::Gradients& gradients) {
    const residua::Tensor dx = gradients.output(0);
    residua::run(x.device(),
                 SiluBackward{.size = x.size(), .x = x.data<float>(), .dy = dy.data<float>(), .dx = dx.data<float>()});
  });
}

}  // namespace mine

int main() {
  const std::vector<float> values = {-2, -1, 0, 1, 2};
  bool right = true;
  for (const float value : values) {
    residua::Tensor x = residua::from_values({1}, std::vector<float>{value});
    x.set_requires_grad(true);
    const residua::Tensor y = mine::silu(x);
    residua::backward(y);
    const double h = 1e-4;
    const auto silu = [](double v) { return v / (1 + std::exp(-v)); };
    const double difference = (silu(value + h) - silu(value - h)) / (2 * h);
    std::printf("silu(%g) = %.6f, gradient %.6f, by differences %.6f\n", value, y.item(), x.grad().item(), difference);
    right = right && std::abs(x.grad().item() - difference) < 1e-5;
  }
  try {
    residua::run({.type = residua::Device::Type::cuda}, mine::SiluForward{});
    right = false;
  } catch (const residua::Error& error) {
    std::printf("%s\n", error.what());
  }
  return right ? 0 : 1;
}
