// What every operation must show, over the case lists of all of them: agreement with the definition in double precision, right
// gradients, the same bits each time, no memory read before it is written and none written past its end.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <optional>

#include "core/autograd/no_grad.h"
#include "core/autograd/tape.h"
#include "tests/support/compare.h"
#include "tests/support/op_case.h"
#include "tests/support/poisoned_memory.h"

namespace residua::test {
namespace {

struct Param {
  OpCase c;
  Device device;
};

std::string test_name(const ::testing::TestParamInfo<Param>& info) {
  std::string text = fmt::format("{}_{}_{}", info.param.c.op, info.param.c.name, info.param.device.string());
  std::ranges::replace_if(
      text, [](unsigned char ch) { return std::isalnum(ch) == 0; }, '_');
  return text;
}

// NOLINTNEXTLINE(readability-identifier-naming): GoogleTest's name
void PrintTo(const Param& param, std::ostream* out) { *out << param.c.full_name() << " on " << param.device.string(); }

template <class Predicate>
std::vector<Param> params(const Predicate& wanted) {
  std::vector<Param> all;
  for (const OpCase& c : op_cases()) {
    if (wanted(c)) {
      for (const Device device : test_devices()) {
        all.push_back({c, device});
      }
    }
  }
  return all;
}

/// One drawing of a case's inputs in one type.
class Drawn {
 public:
  Drawn(const Param& param, DType dtype)
      : c(param.c), dtype(dtype), device(param.device), random(test_and_type(dtype)), values(draw_inputs(c, dtype, random)) {}

  std::vector<Tensor> inputs(Leaves leaves) const { return make_inputs(c, dtype, values, device, leaves); }

  /// Gradients of sum(projection * first output), undefined where none is wanted.
  std::vector<Tensor> gradients(std::span<const Tensor> tensors, const HostArray& projection) const {
    const Tensor y = c.run(tensors).front();
    backward(projected(y, to_tensor(projection, y.shape(), y.dtype(), device)));
    std::vector<Tensor> all;
    std::ranges::transform(tensors, std::back_inserter(all), [](const Tensor& t) { return t.grad(); });
    return all;
  }

  HostArray draw_projection() {
    return test::draw_projection(static_cast<int64_t>(c.reference(values).front().size()), dtype, random);
  }

  double tolerance() const { return unit() * c.tolerance; }
  double gradient_tolerance() const { return unit() * c.gradient_tolerance; }

  const OpCase& c;
  DType dtype;
  Device device;
  Random random;
  std::vector<HostArray> values;

 private:
  double unit() const { return type_tolerance(dtype) * (dtype == DType::f32 ? c.f32_tolerance : 1.0); }

  static std::string test_and_type(DType dtype) {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    return fmt::format("{} {} {}", info->test_suite_name(), info->name(), name(dtype));
  }
};

class OpCases : public ::testing::TestWithParam<Param> {
 protected:
  template <class Body>
  void for_each_type(const Body& body) const {
    for (const DType dtype : GetParam().c.dtypes) {
      SCOPED_TRACE(fmt::format("in {}, seed {}", name(dtype), run_seed()));
      const PoisonedMemory poisoned(GetParam().device);
      Drawn drawn(GetParam(), dtype);
      body(drawn);
    }
  }
};

class OpForward : public OpCases {};

TEST_P(OpForward, AgreesWithTheDefinition) {
  for_each_type([](const Drawn& drawn) {
    const std::vector<HostArray> want = drawn.c.reference(drawn.values);
    const std::vector<Tensor> got = drawn.c.run(drawn.inputs(Leaves::require_gradients));
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < want.size(); ++i) {
      EXPECT_TRUE(close(got[i], want[i], drawn.tolerance(), 0.1)) << "output " << i;
    }
  });
}

TEST_P(OpForward, GivesTheSameBitsAgainAndWithoutRecording) {
  for_each_type([](const Drawn& drawn) {
    const std::vector<Tensor> first = drawn.c.run(drawn.inputs(Leaves::require_gradients));
    const std::vector<Tensor> again = drawn.c.run(drawn.inputs(Leaves::require_gradients));
    const NoGrad no_grad;
    const std::vector<Tensor> unrecorded = drawn.c.run(drawn.inputs(Leaves::require_gradients));
    for (size_t i = 0; i < first.size(); ++i) {
      EXPECT_TRUE(same_bits(first[i], again[i])) << "output " << i;
      EXPECT_TRUE(same_bits(first[i], unrecorded[i])) << "output " << i;
      EXPECT_TRUE(unrecorded[i].autograd() == nullptr || unrecorded[i].autograd()->operation() == nullptr) << "output " << i;
    }
  });
}

INSTANTIATE_TEST_SUITE_P(All, OpForward, ::testing::ValuesIn(params([](const OpCase&) { return true; })), test_name);

class OpBackward : public OpCases {};

/// d/dvalues[input][element] of sum(projection * first output) by central differences of the double-precision reference.
/// Nothing at a kink of an output, where the slopes to the left and to the right differ. Kinks of two outputs may cancel in the
/// sum, so each output's counts.
std::optional<double> difference_quotient(const OpCase& c, std::vector<HostArray>& values, size_t input, size_t element,
                                          const HostArray& projection, double allowed_kink) {
  double& v = values[input][element];
  const double at = v;
  const double step = 1e-6 * std::max(1.0, std::fabs(at));
  const auto output = [&](double value) {
    v = value;
    return c.reference(values).front();
  };
  const HostArray left = output(at - step);
  const HostArray right = output(at + step);
  const HostArray middle = output(at);
  double rise = 0.0;
  double kinks = 0.0;
  for (size_t i = 0; i < middle.size(); ++i) {
    rise += projection[i] * (right[i] - left[i]);
    kinks += std::fabs(projection[i] * (right[i] - 2.0 * middle[i] + left[i]));
  }
  if (kinks > allowed_kink * step) {
    return std::nullopt;
  }
  return rise / (2.0 * step);
}

TEST_P(OpBackward, AgreesWithFiniteDifferences) {
  for_each_type([](Drawn& drawn) {
    const OpCase& c = drawn.c;
    const HostArray projection = drawn.draw_projection();
    const std::vector<Tensor> got = drawn.gradients(drawn.inputs(Leaves::require_gradients), projection);
    const double cost = std::max(c.flops, 20.0 * static_cast<double>(projection.size()));
    const int64_t affordable = std::clamp(static_cast<int64_t>(5e7 / cost), int64_t{8}, int64_t{60});
    for (size_t i = 0; i < got.size(); ++i) {
      SCOPED_TRACE("gradient of " + c.inputs[i].name);
      ASSERT_EQ(got[i].defined(), c.inputs[i].differentiable);
      if (!got[i].defined()) {
        continue;
      }
      const std::vector<float> all = got[i].to_vector();
      double largest = 0.1;
      for (const float v : all) {
        ASSERT_FALSE(std::isnan(v));
        largest = std::max(largest, std::fabs(static_cast<double>(v)));
      }
      const double allowed_kink = 0.5 * drawn.gradient_tolerance() * largest + 1e-4;
      const auto size = static_cast<int64_t>(all.size());
      const int64_t samples = std::min(affordable, size);
      std::vector<float> checked;
      std::vector<double> want;
      for (int64_t k = 0; k < samples; ++k) {
        const auto element = static_cast<size_t>(size == samples ? k : drawn.random.integer(0, size - 1));
        if (const auto slope = difference_quotient(c, drawn.values, i, element, projection, allowed_kink)) {
          checked.push_back(all[element]);
          want.push_back(*slope);
        }
      }
      EXPECT_GE(4 * static_cast<int64_t>(checked.size()), samples) << "nearly all elements lie at a kink";
      EXPECT_TRUE(close(checked, want, drawn.gradient_tolerance(), largest));
    }
  });
}

TEST_P(OpBackward, GivesTheSameBitsAgainAndForEachInputAlone) {
  for_each_type([](Drawn& drawn) {
    const HostArray projection = drawn.draw_projection();
    const std::vector<Tensor> first = drawn.gradients(drawn.inputs(Leaves::require_gradients), projection);
    const std::vector<Tensor> again = drawn.gradients(drawn.inputs(Leaves::require_gradients), projection);
    for (size_t i = 0; i < first.size(); ++i) {
      if (!drawn.c.inputs[i].differentiable) {
        continue;
      }
      EXPECT_TRUE(same_bits(first[i], again[i])) << "gradient of " << drawn.c.inputs[i].name;
      std::vector<Tensor> tensors = drawn.inputs(Leaves::plain);
      tensors[i].set_requires_grad(true);
      const std::vector<Tensor> alone = drawn.gradients(tensors, projection);
      EXPECT_TRUE(same_bits(first[i], alone[i])) << "gradient of " << drawn.c.inputs[i].name << " alone";
    }
  });
}

TEST_P(OpBackward, WritesIntoGradientBuffersAndAddsToThem) {
  for_each_type([](Drawn& drawn) {
    const HostArray projection = drawn.draw_projection();
    const std::vector<Tensor> want = drawn.gradients(drawn.inputs(Leaves::require_gradients), projection);
    std::vector<Tensor> tensors = drawn.inputs(Leaves::require_gradients);
    std::vector<Tensor> buffers(tensors.size());
    for (size_t i = 0; i < tensors.size(); ++i) {
      if (drawn.c.inputs[i].differentiable) {
        buffers[i] = empty(tensors[i].shape(), DType::f32, drawn.device);
        tensors[i].set_grad_buffer(buffers[i]);
      }
    }
    constexpr double kSubnormal = 0x1p-13;  // f16 rounds values near and below 2^-14 to multiples of 2^-24
    for (const double times : {1.0, 2.0}) {
      drawn.gradients(tensors, projection);
      for (size_t i = 0; i < tensors.size(); ++i) {
        if (!drawn.c.inputs[i].differentiable) {
          continue;
        }
        const std::vector<float> once = want[i].to_vector();
        std::vector<double> scaled(once.begin(), once.end());
        std::ranges::transform(scaled, scaled.begin(), [&](double v) { return v * times; });
        EXPECT_TRUE(close(buffers[i], scaled, type_tolerance(drawn.dtype), times * kSubnormal))
            << "gradient of " << drawn.c.inputs[i].name << " after " << times << " passes";
      }
    }
  });
}

INSTANTIATE_TEST_SUITE_P(All, OpBackward, ::testing::ValuesIn(params([](const OpCase& c) { return c.differentiable(); })),
                         test_name);

class OpGradientFormula : public OpCases {};

TEST_P(OpGradientFormula, AgreesWithTheDefinition) {
  for_each_type([](Drawn& drawn) {
    const HostArray projection = drawn.draw_projection();
    const std::vector<HostArray> want = drawn.c.reference_gradients(drawn.values, projection);
    const std::vector<Tensor> got = drawn.gradients(drawn.inputs(Leaves::require_gradients), projection);
    for (size_t i = 0; i < got.size(); ++i) {
      if (drawn.c.inputs[i].differentiable) {
        EXPECT_TRUE(close(got[i], want[i], drawn.gradient_tolerance())) << "gradient of " << drawn.c.inputs[i].name;
      }
    }
  });
}

INSTANTIATE_TEST_SUITE_P(All, OpGradientFormula,
                         ::testing::ValuesIn(params([](const OpCase& c) { return c.reference_gradients != nullptr; })),
                         test_name);

}  // namespace
}  // namespace residua::test
