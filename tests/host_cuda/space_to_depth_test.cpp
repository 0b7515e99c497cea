// A convolution by space-to-depth is the convolution: its kernels, and what runs them around a plan.
#include "cuda/libraries/space_to_depth.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/kernels/composed_convolution.h"
#include "cuda/kernels/space_to_depth.h"
#include "tests/support/contract_check.h"
#include "tests/support/convolution_reference.h"
#include "tests/support/op_case.h"

namespace residua::test {
namespace {

using namespace cuda;

// batch, height, width, channels, to channels, kernel, stride, padding
const ConvolutionShape kShapes[] = {
    {2, 12, 10, 4, 3, 7, 7, 2, 3},  // the networks' kernel; pairs of pixels are packs
    {1, 11, 13, 4, 2, 7, 7, 2, 3},  // odd sizes
    {2, 7, 8, 4, 2, 7, 7, 2, 3},   {1, 9, 8, 4, 3, 5, 5, 2, 2},  {1, 8, 7, 4, 2, 3, 3, 2, 1},  {2, 7, 6, 4, 2, 4, 4, 2, 1},
    {1, 10, 12, 4, 2, 6, 6, 2, 2}, {1, 10, 9, 4, 2, 3, 3, 2, 0}, {2, 6, 10, 4, 2, 3, 5, 2, 4}, {1, 9, 6, 2, 3, 7, 7, 2, 3},
    {1, 3, 3, 4, 2, 7, 7, 2, 3},   {1, 5, 4, 2, 2, 7, 3, 2, 1},
};
const DType kTypes[] = {DType::f16, DType::bf16};

std::string text(const ConvolutionShape& s) {
  return fmt::format("{}x{}x{}x{} to {}, {}x{}, padding {}", s.batch, s.in_height, s.in_width, s.in_channels, s.out_channels,
                     s.kernel_height, s.kernel_width, s.padding);
}

int64_t x_size(const ConvolutionShape& s) { return s.batch * s.in_height * s.in_width * s.in_channels; }
int64_t w_size(const ConvolutionShape& s) { return s.out_channels * s.kernel_height * s.kernel_width * s.in_channels; }
int64_t y_size(const ConvolutionShape& s) { return s.batch * s.out_height() * s.out_width() * s.out_channels; }

/// Small whole numbers: 16-bit types and sums have them exactly.
HostArray draw(Random& random, int64_t size) {
  HostArray values(static_cast<size_t>(size));
  std::ranges::generate(values, [&] { return static_cast<double>(random.integer(-1, 1)); });
  return values;
}

HostArray forward(const ConvolutionShape& s, const HostArray& x, const HostArray& w) {
  HostArray y(static_cast<size_t>(y_size(s)));
  for_each_product(s, [&](size_t xi, size_t wi, size_t yi) { y[yi] += x[xi] * w[wi]; });
  return y;
}

HostArray backward_weights(const ConvolutionShape& s, const HostArray& x, const HostArray& dy) {
  HostArray dw(static_cast<size_t>(w_size(s)));
  for_each_product(s, [&](size_t xi, size_t wi, size_t yi) { dw[wi] += x[xi] * dy[yi]; });
  return dw;
}

/// A tensor of 16-bit elements with memory around it. All of it is NaN at first. `shift` elements misalign it.
class Guarded {
 public:
  Guarded(int64_t size, DType dtype, Device device, int64_t shift = 0)
      : size_(size), first_(kMargin + shift), memory_(empty({size + 2 * kMargin + shift}, dtype, device)) {
    const std::vector<uint16_t> nan(static_cast<size_t>(memory_.size()), 0xffff);
    device_api::copy(device, memory_.data(), Device{}, nan.data(), memory_.bytes());
  }
  Guarded(const HostArray& values, DType dtype, Device device, int64_t shift = 0)
      : Guarded(static_cast<int64_t>(values.size()), dtype, device, shift) {
    const Tensor host = to_tensor(values, {size_}, dtype, Device{});
    device_api::copy(device, data(), Device{}, host.data(), host.bytes());
  }
  void* data() const { return static_cast<unsigned char*>(memory_.data()) + 2 * first_; }

  /// The elements, after a look at the memory around them.
  HostArray values() const {
    const std::vector<float> all = memory_.to_vector();
    for (int64_t i = 0; i < memory_.size(); ++i) {
      if (i < first_ || i >= first_ + size_) {
        EXPECT_TRUE(std::isnan(all[static_cast<size_t>(i)])) << "written outside, at " << i - first_ << " of " << size_;
      }
    }
    return {all.begin() + first_, all.begin() + first_ + size_};
  }

 private:
  static constexpr int64_t kMargin = 64;
  int64_t size_, first_;
  Tensor memory_;
};

/// What the definition of blocks says of x and w.
SpaceToDepthShape of_input(const ConvolutionShape& s, const ConvolutionShape& blocks) {
  return {s.batch, s.in_height, s.in_width, s.in_channels, s.padding + s.padding % 2, blocks.in_height, blocks.in_width};
}
SpaceToDepthShape of_weights(const ConvolutionShape& s, const ConvolutionShape& blocks) {
  return {s.out_channels, s.kernel_height,      s.kernel_width,     s.in_channels,
          s.padding % 2,  blocks.kernel_height, blocks.kernel_width};
}

void blocks_convolve_to_the_same(Device device) {
  Random random("blocks");
  Stream& stream = current_stream(device);
  for (const ConvolutionShape& s : kShapes) {
    for (const int64_t shift : {0, 1}) {
      const DType dtype = kTypes[shift];
      SCOPED_TRACE(fmt::format("{}, {} elements off", text(s), shift));
      const ConvolutionShape blocks = space_to_depth(s);
      const HostArray x = draw(random, x_size(s)), w = draw(random, w_size(s));
      const Guarded x_in(x, dtype, device, shift), w_in(w, dtype, device, shift);
      const Guarded x_out(x_size(blocks), dtype, device, shift), w_out(w_size(blocks), dtype, device, shift);
      run_part(SpaceToDepth{of_input(s, blocks), x_in.data(), x_out.data()}, stream);
      run_part(SpaceToDepth{of_weights(s, blocks), w_in.data(), w_out.data()}, stream);
      EXPECT_EQ(forward(blocks, x_out.values(), w_out.values()), forward(s, x, w));

      // Of the gradient of all taps, those of the kernel come back.
      const HostArray dy = draw(random, y_size(s));
      const Guarded gradient(backward_weights(blocks, x_out.values(), dy), dtype, device, shift);
      const Guarded dw(w_size(s), dtype, device, shift);
      run_part(DepthToSpace{of_weights(s, blocks), gradient.data(), dw.data()}, stream);
      EXPECT_EQ(dw.values(), backward_weights(s, x, dy));
    }
  }
}

/// A plan that checks what it is asked for and runs it.
template <class Args>
Plan<Args> plan_for(const ConvolutionShape& shape, int& runs) {
  return [=, &runs](const Args& call, Stream& stream) {
    EXPECT_TRUE(call.shape == space_to_depth(shape));
    EXPECT_EQ(call.shape.stride, 1);
    EXPECT_EQ(call.shape.padding, 0);
    EXPECT_EQ(call.shape.out_height(), shape.out_height());
    EXPECT_EQ(call.shape.out_width(), shape.out_width());
    ++runs;
    run(call, stream);
  };
}

void space_to_depth_runs_a_plan_between_its_kernels(Device device) {
  Random random("around a plan");
  Stream& stream = current_stream(device);
  for (const ConvolutionShape& s : kShapes) {
    for (const DType dtype : kTypes) {
      SCOPED_TRACE(fmt::format("{} {}", name(dtype), text(s)));
      const HostArray x = draw(random, x_size(s)), w = draw(random, w_size(s)), dy = draw(random, y_size(s));
      const Guarded x_in(x, dtype, device), w_in(w, dtype, device), dy_in(dy, dtype, device);
      int runs = 0;
      const Guarded y(y_size(s), dtype, device);
      const ConvolutionForward forward_args{.dtype = dtype,
                                            .shape = s,
                                            .x = x_in.data(),
                                            .w = w_in.data(),
                                            .y = y.data(),
                                            .activation = kNoInputActivation,
                                            .statistics = kNoOutputStatistics};
      ASSERT_TRUE(has_space_to_depth(forward_args));
      run_space_to_depth(forward_args, plan_for<ConvolutionForward>(s, runs), stream);
      const HostArray expected = forward(s, x, w);
      EXPECT_EQ(y.values(), expected);

      const Guarded with_statistics(y_size(s), dtype, device);
      const Tensor statistics = empty({3, s.out_channels}, DType::f32, device);
      ConvolutionForward also = forward_args;
      also.y = with_statistics.data();
      also.statistics = {.epsilon = 0.5f,
                         .mean = statistics.data<float>(),
                         .variance = statistics.data<float>() + s.out_channels,
                         .rstd = statistics.data<float>() + 2 * s.out_channels};
      run_space_to_depth(also, plan_for<ConvolutionForward>(s, runs), stream);
      EXPECT_EQ(with_statistics.values(), expected);
      const std::vector<float> found = statistics.to_vector();
      const double rows = static_cast<double>(y_size(s) / s.out_channels);
      for (int64_t k = 0; k < s.out_channels; ++k) {
        double sum = 0, squares = 0;
        for (size_t i = static_cast<size_t>(k); i < expected.size(); i += static_cast<size_t>(s.out_channels)) {
          sum += expected[i];
          squares += expected[i] * expected[i];
        }
        const double variance = squares / rows - sum / rows * (sum / rows);
        EXPECT_NEAR(found[k], sum / rows, 1e-4);
        EXPECT_NEAR(found[s.out_channels + k], variance, 1e-4 * (1 + variance));
        EXPECT_NEAR(found[2 * s.out_channels + k], 1 / std::sqrt(variance + 0.5), 1e-4);
      }

      const Guarded dw(w_size(s), dtype, device);
      const ConvolutionBackwardWeights backward_args{.dtype = dtype,
                                                     .dw_dtype = dtype,
                                                     .shape = s,
                                                     .x = x_in.data(),
                                                     .dy = dy_in.data(),
                                                     .dw = dw.data(),
                                                     .activation = kNoInputActivation};
      ASSERT_TRUE(has_space_to_depth(backward_args));
      run_space_to_depth(backward_args, plan_for<ConvolutionBackwardWeights>(s, runs), stream);
      EXPECT_EQ(dw.values(), backward_weights(s, x, dy));
      EXPECT_EQ(runs, 3);
    }
  }
}

const RegisterContractChecks kChecks({{"BlocksConvolveToTheSame", blocks_convolve_to_the_same},
                                      {"SpaceToDepthRunsAPlanBetweenItsKernels",
                                       space_to_depth_runs_a_plan_between_its_kernels}});

TEST(SpaceToDepth, OfTheFirstConvolutionIs4x4On16Channels) {
  const ConvolutionShape stem{256, 224, 224, 4, 64, 7, 7, 2, 3};
  EXPECT_TRUE(space_to_depth(stem) == (ConvolutionShape{256, 115, 115, 16, 64, 4, 4, 1, 0}));
  EXPECT_TRUE(has_space_to_depth(DType::f16, stem));
  EXPECT_TRUE(has_space_to_depth(DType::bf16, stem));
}

TEST(SpaceToDepth, IsForStride2AndFewChannelsIn16Bits) {
  const ConvolutionShape stem{256, 224, 224, 4, 64, 7, 7, 2, 3};
  EXPECT_FALSE(has_space_to_depth(DType::f32, stem));
  const auto with = [&](auto ConvolutionShape::*field, int64_t value) {
    ConvolutionShape s = stem;
    s.*field = value;
    return has_space_to_depth(DType::bf16, s);
  };
  EXPECT_TRUE(with(&ConvolutionShape::in_channels, 2));
  for (const int64_t channels : {1, 3, 5, 8, 64}) {
    EXPECT_FALSE(with(&ConvolutionShape::in_channels, channels)) << channels;
  }
  EXPECT_FALSE(with(&ConvolutionShape::stride, 1));
  EXPECT_FALSE(with(&ConvolutionShape::stride, 3));
  EXPECT_FALSE(with(&ConvolutionShape::kernel_height, 2));
  EXPECT_FALSE(with(&ConvolutionShape::kernel_width, 1));

  float f[1];
  const InputActivation activation{f, f, f, f};
  EXPECT_FALSE(has_space_to_depth(ConvolutionForward{.dtype = DType::bf16,
                                                     .shape = stem,
                                                     .x = nullptr,
                                                     .w = nullptr,
                                                     .y = nullptr,
                                                     .activation = activation,
                                                     .statistics = kNoOutputStatistics}));
  EXPECT_FALSE(has_space_to_depth(ConvolutionBackwardWeights{.dtype = DType::bf16,
                                                             .dw_dtype = DType::bf16,
                                                             .shape = stem,
                                                             .x = nullptr,
                                                             .dy = nullptr,
                                                             .dw = nullptr,
                                                             .activation = activation}));
}

}  // namespace
}  // namespace residua::test
