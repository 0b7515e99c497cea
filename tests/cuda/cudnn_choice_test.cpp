// What the engine makes of cuDNN's plans for an H100: plans where cuDNN has the form, and the composition of plain kernels for
// each fused form.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "cuda/libraries/convolution.h"
#include "cuda/libraries/space_to_depth.h"
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

const std::string kSpaceToDepth = "space-to-depth, ";

/// Calls f with a call of the key's form.
template <class F>
auto visit_call(const ConvolutionKey& key, const F& f) {
  switch (key.form) {
    case ConvolutionForm::forward:
    case ConvolutionForm::forward_statistics:
    case ConvolutionForm::activated_forward_statistics: return f(forward(key));
    case ConvolutionForm::backward_data:
    case ConvolutionForm::backward_data_sums: return f(backward_data(key));
    default: return f(backward_weights(key));
  }
}

/// The name that the engine would choose if cuDNN's plans took `plan_ms`, those by space-to-depth `space_to_depth_ms` and the
/// composition 1 ms.
template <class Args>
std::string chosen(const Args& args, double plan_ms, double space_to_depth_ms) {
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
    return running == "composed" ? 1.0 : running.starts_with(kSpaceToDepth) ? space_to_depth_ms : plan_ms;
  };
  return autotune<Args>(key_of(args).string(), candidates, args, stream, cache, clock).choice.name;
}

std::string chosen(const ConvolutionKey& key, double plan_ms, double space_to_depth_ms = 3.0) {
  return visit_call(key, [&](const auto& args) { return chosen(args, plan_ms, space_to_depth_ms); });
}

std::vector<std::string> candidates(const ConvolutionKey& key) {
  return visit_call(key, [](const auto& args) {
    std::vector<std::string> names;
    for (const auto& candidate : convolution_candidates(args, h100(), kDefaultPlans)) {
      names.push_back(candidate.name);
    }
    return names;
  });
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

TEST(CudnnPlans, OfTheBlocksAreCandidatesForTheFirstConvolution) {
  std::set<std::string> with_blocks;
  for (const DType dtype : kTypes) {
    for (const ConvolutionKey& convolution : convolutions(dtype)) {
      if (convolution.shape.stride == 1 && convolution.shape.in_channels > 16) {
        continue;  // to save time: they differ in everything that counts
      }
      for (int i = 0; i < kConvolutionForms; ++i) {
        const ConvolutionKey key = with_form(convolution, static_cast<ConvolutionForm>(i));
        SCOPED_TRACE(key.string());
        const std::vector<std::string> all = candidates(key);
        std::vector<std::string> got = all, want;
        std::erase_if(got, [](const std::string& name) { return !name.starts_with(kSpaceToDepth); });
        if (got.empty()) {
          continue;
        }
        with_blocks.insert(key.string());
        ConvolutionKey blocks = key;
        blocks.shape = space_to_depth(key.shape);
        const ConvolutionGraph graph(blocks, h100(), kDefaultPlans);
        for (const std::string& plan : graph.plans()) {
          want.push_back(kSpaceToDepth + plan);
        }
        EXPECT_EQ(got, want);
        EXPECT_TRUE(std::ranges::equal(got, std::span(all).last(got.size()))) << "a choice by rule comes to them last";
        EXPECT_THAT(got, Contains(chosen(key, 0.5, 0.25)));
      }
    }
  }
  const std::string stem = " 256x224x224x4 to 64, 7x7, stride 2, padding 3";
  EXPECT_EQ(with_blocks, (std::set{"forward f16" + stem, "forward+statistics f16" + stem, "backward-weights f16" + stem,
                                   "forward bf16" + stem, "backward-weights bf16" + stem}));
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
