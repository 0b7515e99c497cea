// Holds single blocks and whole training steps to what PyTorch computes in float64, from the files that make_golden.py wrote.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "tests/parity/sgd_step_case.h"
#include "tests/support/thread_ranks.h"

namespace residua::test {
namespace {

std::string golden(const std::string& name) {
  return std::string(RESIDUA_SOURCE_DIR "/tests/parity/golden/") + name + ".safetensors";
}

/// The largest difference over the largest value of `wanted`; infinite where a value is not finite.
double largest_error(const std::vector<float>& got, const std::vector<float>& wanted) {
  if (got.size() != wanted.size() || !std::ranges::all_of(got, [](float x) { return std::isfinite(x); })) {
    return HUGE_VAL;
  }
  double difference = 0;
  double largest = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    difference = std::max(difference, std::fabs(static_cast<double>(got[i]) - wanted[i]));
    largest = std::max(largest, std::fabs(static_cast<double>(wanted[i])));
  }
  return difference / largest;
}

/// L2 norm of the difference over that of `wanted`; infinite where a value is not finite.
double relative_error(const std::vector<double>& got, const std::vector<float>& wanted) {
  if (got.size() != wanted.size() || !std::ranges::all_of(got, [](double x) { return std::isfinite(x); })) {
    return HUGE_VAL;
  }
  double difference = 0;
  double norm = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    difference += (got[i] - wanted[i]) * (got[i] - wanted[i]);
    norm += static_cast<double>(wanted[i]) * wanted[i];
  }
  return std::sqrt(difference / norm);
}

/// A scalar whose gradient with respect to y is dy.
Tensor weighted_sum(const Tensor& y, const Tensor& dy) {
  return record(zeros({}, DType::f32), {y}, "weighted_sum",
                [dy](const Tensor&, Gradients& gradients) { gradients.give(0, dy.clone()); });
}

class BlockParityTest : public ::testing::TestWithParam<const char*> {};

TEST_P(BlockParityTest, OutputAndGradientsAgree) {
  const Safetensors all = load_safetensors(golden("blocks"));
  const std::string name = GetParam();
  const SafetensorsMetadata metadata = nlohmann::json::parse(metadata_value(all.metadata, name));
  const Safetensors file = with_prefix(all, name + "/");

  ResidualBlock block(config_from_metadata(metadata), metadata_number(metadata, "block_in_channels"),
                      metadata_number(metadata, "block_width"), metadata_number(metadata, "block_stride"));
  ParameterStore store(block);
  for (const Parameter* parameter : store.parameters()) {
    from_logical(*parameter, required(file, "value/" + parameter->name).to_vector(), parameter->master);
  }
  store.masters_changed();
  ASSERT_EQ(store.parameters().size(), with_prefix(file, "value/").arrays.size());

  Tensor x = as_f32(required(file, "x"));
  x.set_requires_grad(true);
  const Tensor y = block.forward(x, Mode::train);
  backward(weighted_sum(y, as_f32(required(file, "dy"))));

  EXPECT_EQ(y.shape(), required(file, "y").shape());
  EXPECT_LE(largest_error(y.to_vector(), required(file, "y").to_vector()), 1e-5);
  EXPECT_LE(largest_error(x.grad().to_vector(), required(file, "dx").to_vector()), 1e-5);
  for (const Parameter* parameter : store.parameters()) {
    EXPECT_LE(
        largest_error(to_logical(*parameter, parameter->gradient), required(file, "gradient/" + parameter->name).to_vector()),
        1e-5)
        << parameter->name;
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, BlockParityTest,
                         ::testing::Values("plain", "basic_identity", "basic_a", "basic_a_average_both", "basic_b", "basic_c",
                                           "bottleneck_a", "bottleneck_b", "bottleneck_b_stride_first", "bottleneck_identity"),
                         [](const auto& info) { return std::string(info.param); });

/// Holds what a step changes to float64, as exactly as PyTorch's fp32.
void expect_exact(const SgdStepCase& step, const Safetensors& file) {
  std::map<std::string, std::vector<double>> changes;
  for (const Parameter* parameter : step.store().parameters()) {
    const std::vector<float> before = required(file, "model." + parameter->name).to_vector();
    const std::vector<float> after = to_logical(*parameter, parameter->master);
    std::vector<double>& change = changes[parameter->name];
    for (size_t i = 0; i < after.size(); ++i) {
      change.push_back(static_cast<double>(after[i]) - before.at(i));
    }
  }
  for (const RunningStatistics* layer : step.store().statistics()) {
    const std::vector<float> mean = layer->running_mean.to_vector();
    const std::vector<float> variance = layer->running_variance.to_vector();
    changes[layer->name + ".running_mean"].assign(mean.begin(), mean.end());
    changes[layer->name + ".running_var"].assign(variance.begin(), variance.end());
  }
  const std::vector<float> pytorch_errors = required(file, "pytorch_error").to_vector();
  ASSERT_EQ(pytorch_errors.size(), changes.size());
  size_t i = 0;
  for (const auto& [name, change] : changes) {
    const double allowed = 3.0 * pytorch_errors[i++] + 1e-5;
    EXPECT_LE(relative_error(change, required(file, "change." + name).to_vector()), allowed) << name;
  }
}

class StepParityTest : public ::testing::TestWithParam<const char*> {};

TEST_P(StepParityTest, OneStepIsAsExactAsPytorchs) {
  const Safetensors file = load_safetensors(golden(std::string("step_") + GetParam()));
  const SgdStepCase step(file);
  EXPECT_LE(largest_error(step.logits().to_vector(), required(file, "logits").to_vector()), 1e-4);
  expect_exact(step, file);
}

TEST_P(StepParityTest, AStepOfSeveralRanksIsAsExactAsThatOfOne) {
  const Safetensors file = load_safetensors(golden(std::string("step_") + GetParam()));
  for (const int64_t world : {2, 3}) {
    run_ranks(world, [&](Communicator& ranks) {
      SCOPED_TRACE(ranks.describe(ranks.rank()));
      expect_exact(SgdStepCase(file, ranks), file);
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, StepParityTest, ::testing::Values("plain", "a", "b", "c", "bottleneck"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace residua::test
