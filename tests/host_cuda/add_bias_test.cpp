#include "cuda/kernels/add_bias.h"

#include <gtest/gtest.h>

#include "core/kernels/composed_convolution.h"
#include "tests/support/compare.h"
#include "tests/support/contract_check.h"
#include "tests/support/op_case.h"

namespace residua::test {
namespace {

void add_bias_adds_its_element_to_each_row(Device device) {
  Random random("add bias");
  for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{1, 1}, {5, 3}, {7, 10}, {33, 1000}, {2, 4099}}) {
    HostArray y, bias, want;
    for (int64_t c = 0; c < columns; ++c) {
      bias.push_back(rounded(random.uniform(-2, 2), DType::f32));
    }
    for (int64_t i = 0; i < rows * columns; ++i) {
      y.push_back(rounded(random.uniform(-2, 2), DType::f32));
      want.push_back(y.back() + bias[static_cast<size_t>(i % columns)]);
    }
    const Tensor b = to_tensor(bias, {columns}, DType::f32, device);
    // Also where rows do not begin at a multiple of 16 bytes.
    for (const int64_t offset : {0, 1}) {
      HostArray shifted(static_cast<size_t>(offset), 0.0);
      shifted.insert(shifted.end(), y.begin(), y.end());
      const Tensor memory = to_tensor(shifted, {rows * columns + offset}, DType::f32, device);
      run_part(cuda::AddBias{rows, columns, b.data<float>(), memory.data<float>() + offset}, cuda::current_stream(device));
      const std::vector<float> got = memory.to_vector();
      EXPECT_TRUE(close(std::span(got).subspan(static_cast<size_t>(offset)), want, 1e-7))
          << rows << " x " << columns << " at " << offset;
    }
  }
}

const RegisterContractChecks kChecks({{"AddBiasAddsItsElementToEachRow", add_bias_adds_its_element_to_each_row}});

}  // namespace
}  // namespace residua::test
