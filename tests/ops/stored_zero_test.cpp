#include <fmt/format.h>
#include <gtest/gtest.h>

#include <vector>

#include "core/autograd/tape.h"
#include "core/ops/batch_norm.h"
#include "core/ops/batch_norm_relu_conv2d.h"
#include "core/ops/batch_norm_relu_max_pool.h"
#include "tests/support/op_case.h"

namespace residua::test {
namespace {

/// A value above 0 in fp32 whose f16 is 0: no gradient may go through it, since the stored y is the ReLU's output. The channels
/// take turns: such a value, a plain one, one below 0.
TEST(StoredZero, NothingGoesBackThroughAnOutputThatIsStoredAsZero) {
  constexpr float kVanishes = 1e-9f;  // f16's smallest number is 6e-8
  const float betas[] = {kVanishes, 1.0f, -1.0f};
  for (const Device device : test_devices()) {
    for (const Mode mode : {Mode::train, Mode::evaluate}) {
      for (const int64_t channels : {3, 8, 61, 64}) {
        SCOPED_TRACE(fmt::format("{} {} {} channels", device.string(), mode == Mode::train ? "train" : "evaluate", channels));
        const Shape shape{2, 4, 6, channels};
        const auto per_channel = [&](const auto& value) {
          std::vector<float> values;
          for (int64_t c = 0; c < channels; ++c) {
            values.push_back(value(c));
          }
          return values;
        };
        const std::vector<float> beta_values = per_channel([&](int64_t c) { return betas[c % 3]; });
        const auto vector = [&](float value) { return full({channels}, value, DType::f32, device); };
        // x is the mean everywhere, so that y = beta.
        const Tensor x = full(shape, 0.0f, DType::f16, device);
        const Tensor residual = full(shape, 0.0f, DType::f16, device);
        const auto gradient_of_beta = [&](const auto& op) {
          Tensor beta = from_values({channels}, beta_values, DType::f32, device);
          beta.set_requires_grad(true);
          const BatchNormTensors p{.gamma = vector(1),
                                   .beta = beta,
                                   .running_mean = vector(0),
                                   .running_var = vector(1),
                                   .batch_mean = {},
                                   .batch_var = {}};
          const Tensor y = op(p);
          EXPECT_EQ(y.to_vector()[0], 0.0f);
          EXPECT_EQ(y.to_vector()[1], 1.0f);
          backward(projected(y, full(y.shape(), 1.0f, DType::f16, device)));
          return beta.grad().to_vector();
        };
        const auto open_only = [&](float gradient) {
          return per_channel([&](int64_t c) { return c % 3 == 1 ? gradient : 0.0f; });
        };
        EXPECT_EQ(gradient_of_beta([&](const auto& p) { return batch_norm_relu(x, p, mode); }), open_only(48));
        EXPECT_EQ(gradient_of_beta([&](const auto& p) { return batch_norm_add_relu(x, residual, p, mode); }), open_only(48));
        EXPECT_EQ(gradient_of_beta([&](const auto& p) {
                    return batch_norm_relu_max_pool(x, p, {.window = 3, .stride = 2, .padding = 1}, mode);
                  }),
                  open_only(12));
        // The convolution that takes one channel each to an output of its own: its input's gradient is 1.
        std::vector<float> identity(static_cast<size_t>(channels * channels), 0.0f);
        for (int64_t c = 0; c < channels; ++c) {
          identity[static_cast<size_t>(c * channels + c)] = 1;
        }
        const Tensor w = from_values({channels, 1, 1, channels}, identity, DType::f16, device);
        for (const ActivationPlace place : {ActivationPlace::before, ActivationPlace::inside}) {
          EXPECT_EQ(gradient_of_beta([&](const auto& p) { return batch_norm_relu_conv2d(x, p, w, {}, mode, nullptr, place); }),
                    open_only(48))
              << (place == ActivationPlace::inside ? "inside" : "before");
        }
      }
    }
  }
}

}  // namespace
}  // namespace residua::test
