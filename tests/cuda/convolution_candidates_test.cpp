// On a GPU: every candidate for the first convolution, direct and by space-to-depth, gives what the definition says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "cuda/libraries/convolution.h"
#include "cuda/libraries/library_device.h"
#include "tests/support/convolution_reference.h"
#include "tests/support/op_case.h"

namespace residua::test {
namespace {

using namespace cuda;

constexpr Device kDevice{Device::Type::cuda, 0};
/// So small that 16-bit types have all sums of -1, 0 and 1 exactly.
constexpr ConvolutionShape kShape{1, 28, 26, 4, 64, 7, 7, 2, 3};
const Shape kInput{1, 28, 26, 4}, kWeights{64, 7, 7, 4}, kOutput{1, 14, 13, 64};

HostArray draw(Random& random, const Shape& shape) {
  HostArray values(static_cast<size_t>(shape.size()));
  std::ranges::generate(values, [&] { return static_cast<double>(random.integer(-1, 1)); });
  return values;
}

HostArray elements(const Tensor& tensor) {
  const std::vector<float> values = tensor.to_vector();
  return {values.begin(), values.end()};
}

/// Runs each candidate that can be built, after `out` was filled with another number.
template <class Args>
void check_candidates(const Args& args, const Tensor& out, const HostArray& expected) {
  Stream& stream = current_stream(kDevice);
  int by_space_to_depth = 0;
  for (const Candidate<Args>& candidate : convolution_candidates(args, CudnnDevice(library_device(stream).cudnn()), {})) {
    Plan<Args> plan;
    try {
      plan = candidate.build();
    } catch (const Error&) {
      continue;  // as in autotuning
    }
    SCOPED_TRACE(candidate.name);
    out.copy_from(full(out.shape(), 1000, out.dtype(), kDevice));
    plan(args, stream);
    EXPECT_TRUE(elements(out) == expected);
    by_space_to_depth += candidate.name.starts_with("space-to-depth, ") ? 1 : 0;
  }
  EXPECT_GT(by_space_to_depth, 0);
}

void check_first_convolution(DType dtype) {
  Random random("first convolution");
  const HostArray x = draw(random, kInput), w = draw(random, kWeights), dy = draw(random, kOutput);
  HostArray y(dy.size()), dw(w.size());
  for_each_product(kShape, [&](size_t xi, size_t wi, size_t yi) {
    y[yi] += x[xi] * w[wi];
    dw[wi] += x[xi] * dy[yi];
  });
  const Tensor x_in = to_tensor(x, kInput, dtype, kDevice), w_in = to_tensor(w, kWeights, dtype, kDevice),
               dy_in = to_tensor(dy, kOutput, dtype, kDevice);
  const Tensor y_out = empty(kOutput, dtype, kDevice), dw_out = empty(kWeights, dtype, kDevice);
  ConvolutionForward forward{.dtype = dtype,
                             .shape = kShape,
                             .x = x_in.data(),
                             .w = w_in.data(),
                             .y = y_out.data(),
                             .activation = kNoInputActivation,
                             .statistics = kNoOutputStatistics};
  check_candidates(forward, y_out, y);
  check_candidates(ConvolutionBackwardWeights{.dtype = dtype,
                                              .dw_dtype = dtype,
                                              .shape = kShape,
                                              .x = x_in.data(),
                                              .dy = dy_in.data(),
                                              .dw = dw_out.data(),
                                              .activation = kNoInputActivation},
                   dw_out, dw);
  if (dtype == DType::f16) {  // cuDNN has no statistics of bf16
    const Tensor statistics = empty({3, 64}, DType::f32, kDevice);
    auto* mean = statistics.data<float>();
    forward.statistics = {.epsilon = 0.5f, .mean = mean, .variance = mean + 64, .rstd = mean + 128};
    check_candidates(forward, y_out, y);
  }
}

TEST(ConvolutionCandidates, OfTheFirstConvolutionGiveTheSame) {
  if (device_api::cuda_device_count() == 0) {
    GTEST_SKIP() << "no GPU";
  }
  check_first_convolution(DType::f16);
  check_first_convolution(DType::bf16);
}

}  // namespace
}  // namespace residua::test
