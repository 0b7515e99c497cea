// What the engine makes of cuDNN's plans for an H100: plans where cuDNN has the form, and the composition of plain kernels for
// each fused form.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "cuda/libraries/convolution.h"
#include "tests/cuda/h100.h"

namespace residua::test {
namespace {

using namespace cuda;

using ::testing::Contains;

float f32_vector[1];
uint8_t mask[1];

ConvolutionForward forward(const ConvolutionKey& key) {
  const bool activated = key.form == ConvolutionForm::activated_forward_statistics;
  return {key.dtype,
          key.shape,
          nullptr,
          nullptr,
          nullptr,
          activated ? InputActivation{f32_vector, f32_vector, f32_vector, f32_vector} : kNoInputActivation,
          key.form == ConvolutionForm::forward ? kNoOutputStatistics : OutputStatistics{0, f32_vector, f32_vector, f32_vector}};
}

ConvolutionBackwardData backward_data(const ConvolutionKey& key) {
  const GradientSums sums{f32_vector, mask, f32_vector, f32_vector, f32_vector, f32_vector, f32_vector, f32_vector};
  return {key.dtype, key.shape, nullptr, nullptr, nullptr, key.form == ConvolutionForm::backward_data ? kNoGradientSums : sums};
}

ConvolutionBackwardWeights backward_weights(const ConvolutionKey& key) {
  return {key.dtype,
          key.dtype,
          key.shape,
          nullptr,
          nullptr,
          nullptr,
          key.form == ConvolutionForm::backward_weights ? kNoInputActivation
                                                        : InputActivation{f32_vector, f32_vector, f32_vector, f32_vector}};
}

/// The names that the engine would choose when cuDNN's plans take `plan_ms` and the composition takes 1 ms.
template <class Args>
std::string chosen(const Args& args, double plan_ms) {
  std::string running;
  std::vector<Candidate<Args>> candidates = convolution_candidates(args, h100(), kDefaultPlans);
  for (Candidate<Args>& candidate : candidates) {
    // Plans are really built; only running them takes a GPU.
    candidate.build = [&running, name = candidate.name, build = candidate.build]() -> Plan<Args> {
      build();
      return [&running, name](const Args&, Stream&) { running = name; };
    };
  }
  PlanCache cache("", "H100");
  Stream stream(0, 132, nullptr);
  const Clock clock = [&](const std::function<void()>& work) {
    work();
    return running == "composed" ? 1.0 : plan_ms;
  };
  return autotune<Args>(key_of(args).string(), candidates, args, stream, cache, clock).choice.name;
}

std::string chosen(const ConvolutionKey& key, double plan_ms) {
  switch (key.form) {
    case ConvolutionForm::forward:
    case ConvolutionForm::forward_statistics:
    case ConvolutionForm::activated_forward_statistics: return chosen(forward(key), plan_ms);
    case ConvolutionForm::backward_data:
    case ConvolutionForm::backward_data_sums: return chosen(backward_data(key), plan_ms);
    default: return chosen(backward_weights(key), plan_ms);
  }
}

TEST(CudnnPlans, AreChosenByTimeAndFallBackToTheComposition) {
  std::map<std::string, int> fused;
  for (const DType dtype : kTypes) {
    for (const ConvolutionKey& convolution : convolutions(dtype)) {
      for (int i = 0; i < kConvolutionForms; ++i) {
        const ConvolutionKey key = with_form(convolution, static_cast<ConvolutionForm>(i));
        SCOPED_TRACE(key.string());
        const std::vector<std::string> plans = ConvolutionGraph(key, h100(), kDefaultPlans).plans();
        if (plans.empty()) {
          EXPECT_EQ(chosen(key, 0.5), "composed");
          continue;
        }
        EXPECT_THAT(plans, Contains(chosen(key, 0.5)));
        if (!is_plain(key.form)) {
          EXPECT_EQ(chosen(key, 2.0), "composed");
          ++fused[name(dtype).data()];
        }
      }
    }
  }
  EXPECT_GT(fused["f16"], 50) << "both outcomes must come up";
}

TEST(CudnnPlans, AreKeptByWhatTheCallAsksFor) {
  const ConvolutionShape shape{256, 56, 56, 64, 128, 3, 3, 2, 1};
  for (int i = 0; i < kConvolutionForms; ++i) {
    const ConvolutionKey key{static_cast<ConvolutionForm>(i), DType::f16, shape};
    const ConvolutionForm got[] = {key_of(forward(key)).form, key_of(backward_data(key)).form,
                                   key_of(backward_weights(key)).form};
    EXPECT_THAT(got, Contains(key.form));
  }
  ConvolutionForward activated = forward({ConvolutionForm::activated_forward_statistics, DType::f16, shape});
  activated.statistics = kNoOutputStatistics;
  EXPECT_EQ(key_of(activated).form, ConvolutionForm::activated_forward_statistics) << "cuDNN has it with statistics only";

  const ConvolutionKey key{ConvolutionForm::forward_statistics, DType::bf16, shape};
  EXPECT_EQ(key.string(), "forward+statistics bf16 256x56x56x64 to 128, 3x3, stride 2, padding 1");
  EXPECT_FALSE(key < key);
  ConvolutionKey other = key;
  other.shape.padding = 0;
  EXPECT_TRUE(other < key);
}

}  // namespace
}  // namespace residua::test
