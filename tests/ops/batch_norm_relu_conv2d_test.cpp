#include "core/ops/batch_norm_relu_conv2d.h"

#include <gtest/gtest.h>

#include "core/autograd/tape.h"
#include "core/device/device_api.h"
#include "tests/support/compare.h"
#include "tests/support/op_case.h"

namespace residua::test {
namespace {

constexpr Conv2dOptions kOptions{.stride = 2, .padding = 1};

struct Inputs {
  Tensor x, gamma, beta, w;

  BatchNormTensors parameters() const {
    return {.gamma = gamma, .beta = beta, .running_mean = {}, .running_var = {}, .batch_mean = {}, .batch_var = {}};
  }
};

Inputs draw(DType dtype, Device device) {
  Random random("inputs");
  const auto leaf = [&](const Shape& of, const Values& values, DType type) {
    HostArray host(static_cast<size_t>(of.size()));
    values(random, host);
    Tensor t = to_tensor(host, of, type, device);
    t.set_requires_grad(true);
    return t;
  };
  // Away from the ReLU's kink, as in the cases.
  return {leaf({2, 7, 6, 16}, away_from_zero(0.5, 1), dtype), leaf({16}, away_from_zero(0.5, 1.5), DType::f32),
          leaf({16}, uniform(-0.1, 0.1), DType::f32), leaf({24, 3, 3, 16}, uniform(-1, 1), dtype)};
}

/// Runs both on equal inputs, forward and backward, and calls same(got, want) for the output and each gradient.
template <class Same>
void compare_with_composition(DType dtype, Device device, ActivationPlace place, const Same& same) {
  Random random("projection");
  const Inputs a = draw(dtype, device);
  const Inputs b = draw(dtype, device);
  const Tensor y = batch_norm_relu_conv2d(a.x, a.parameters(), a.w, kOptions, Mode::train, nullptr, place);
  const Tensor z = conv2d(batch_norm_relu(b.x, b.parameters(), Mode::train), b.w, kOptions);
  same(y, z);
  const Tensor projection = to_tensor(draw_projection(y.size(), dtype, random), y.shape(), dtype, device);
  backward(projected(y, projection));
  backward(projected(z, projection));
  same(a.x.grad(), b.x.grad());
  same(a.gamma.grad(), b.gamma.grad());
  same(a.beta.grad(), b.beta.grad());
  same(a.w.grad(), b.w.grad());
}

TEST(BatchNormReluConv2d, IsTheComposition) {
  for (const Device device : test_devices()) {
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
      for (const ActivationPlace place : {ActivationPlace::fastest, ActivationPlace::before, ActivationPlace::inside}) {
        SCOPED_TRACE(fmt::format("{} {}, place {}", device.string(), name(dtype), static_cast<int>(place)));
        compare_with_composition(dtype, device, place, [&](const Tensor& got, const Tensor& want) {
          const std::vector<float> values = want.to_vector();
          EXPECT_TRUE(close(got, HostArray(values.begin(), values.end()), 4 * type_tolerance(dtype)));
        });
      }
    }
  }
}

TEST(BatchNormReluConv2d, IsTheCompositionToTheBitOnTheCpu) {
  for (const ActivationPlace place : {ActivationPlace::fastest, ActivationPlace::before}) {
    compare_with_composition(DType::f32, {}, place,
                             [](const Tensor& got, const Tensor& want) { EXPECT_TRUE(same_bits(got, want)); });
  }
}

TEST(BatchNormReluConv2d, KeepsNoActivationWhereItIsInside) {
  for (const Device device : test_devices()) {
    const auto kept = [&](ActivationPlace place) {
      const Inputs in = draw(DType::f32, device);
      const int64_t before = device_api::memory_use(device).live_bytes;
      const Tensor y = batch_norm_relu_conv2d(in.x, in.parameters(), in.w, kOptions, Mode::train, nullptr, place);
      return device_api::memory_use(device).live_bytes - before;
    };
    const int64_t activation = draw(DType::f32, device).x.bytes();
    EXPECT_GE(kept(ActivationPlace::before) - kept(ActivationPlace::inside), activation);
  }
}

TEST(BatchNormReluConv2d, NamesWhatIsWrong) {
  const Inputs in = draw(DType::f32, {});
  const BatchNormTensors p = in.parameters();
  const Tensor narrow = zeros({2, 7, 6, 8}, DType::f32);
  EXPECT_TRUE(fails_with([&] { batch_norm_relu_conv2d(narrow, p, in.w, kOptions, Mode::train); },
                         {"batch_norm_relu_conv2d:", "w is", "wanted the shape [24, 3, 3, 8]"}));
  EXPECT_TRUE(fails_with([&] { batch_norm_relu_conv2d(in.x, p, in.w, kOptions, Mode::evaluate); },
                         {"batch_norm_relu_conv2d:", "running_mean", "undefined"}));
  EXPECT_TRUE(fails_with([&] { batch_norm_relu_conv2d(in.x, p, in.w, kOptions, Mode::train, &p); },
                         {"batch_norm_relu_conv2d:", "batch_mean", "undefined"}));
}

}  // namespace
}  // namespace residua::test
