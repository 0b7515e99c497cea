// Every operation's kernels give the defined results whatever the order of threads and blocks, the size of a block and of the
// grid.
#include <gtest/gtest.h>

#include <algorithm>

#include "core/autograd/tape.h"
#include "tests/host_cuda/settings.h"
#include "tests/support/compare.h"
#include "tests/support/op_case.h"
#include "tests/support/poisoned_memory.h"

namespace residua::test {
namespace {

constexpr Device kDevice{Device::Type::cuda, 0};

class OpOrders : public ::testing::TestWithParam<OpCase> {};

TEST_P(OpOrders, AgreesWithTheDefinitionAndWithItself) {
  const OpCase& c = GetParam();
  Random random("OpOrders " + c.full_name());
  for (const DType dtype : c.dtypes) {
    const double unit = type_tolerance(dtype) * (dtype == DType::f32 ? c.f32_tolerance : 1.0);
    const std::vector<HostArray> values = draw_inputs(c, dtype, random);
    const std::vector<HostArray> want = c.reference(values);
    const HostArray projection = draw_projection(static_cast<int64_t>(want.front().size()), dtype, random);
    std::vector<std::vector<float>> first_gradients;
    for (const Setting& s : settings(random)) {
      SCOPED_TRACE(fmt::format("{}, {}", name(dtype), s.string()));
      const Scheduled scheduled(s);
      const PoisonedMemory poisoned(kDevice);
      std::vector<std::vector<float>> gradients;
      const std::vector<Tensor> inputs = make_inputs(c, dtype, values, kDevice, Leaves::require_gradients);
      const std::vector<Tensor> got = c.run(inputs);
      ASSERT_EQ(got.size(), want.size());
      for (size_t i = 0; i < want.size(); ++i) {
        EXPECT_TRUE(close(got[i], want[i], unit * c.tolerance, 0.1)) << "output " << i;
      }
      if (c.differentiable()) {
        backward(projected(got.front(), to_tensor(projection, got.front().shape(), got.front().dtype(), kDevice)));
      }
      for (const Tensor& input : inputs) {
        gradients.push_back(input.grad().defined() ? input.grad().to_vector() : std::vector<float>());
      }
      if (first_gradients.empty()) {
        first_gradients = gradients;
      }
      for (size_t i = 0; i < gradients.size(); ++i) {
        const std::vector<double> first(first_gradients[i].begin(), first_gradients[i].end());
        EXPECT_TRUE(close(gradients[i], first, unit * c.gradient_tolerance)) << "gradient of " << c.inputs[i].name;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, OpOrders, ::testing::ValuesIn(op_cases()), [](const auto& info) {
  std::string text = info.param.op + "_" + info.param.name;
  std::ranges::replace_if(
      text, [](unsigned char ch) { return std::isalnum(ch) == 0; }, '_');
  return text;
});

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): GoogleTest's name
void PrintTo(const OpCase& c, std::ostream* out) { *out << c.full_name(); }

}  // namespace residua::test
