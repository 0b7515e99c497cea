// No contract without a CUDA kernel, no kernel that the tests do not run. The list comes from the headers of core/kernels and
// cuda/kernels.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/autograd/tape.h"
#include "core/device/profile.h"
#include "tests/support/contract_check.h"
#include "tests/support/contracts.h"
#include "tests/support/op_case.h"

namespace residua::test {
namespace {

constexpr Device kDevice{Device::Type::cuda, 0};

TEST(EveryContract, IsFoundInTheHeaders) {
  EXPECT_THAT(contracts_in("namespace cuda {\nvoid run(const Add& args, Stream& stream);\n"
                           "void run(const ReluForward& args, Stream& stream);\n}"),
              ::testing::ElementsAre("Add", "ReluForward"));
  EXPECT_THAT(declared_contracts(), ::testing::IsSupersetOf({"Add", "BatchNormApply", "ConvolutionForward", "SgdUpdate"}));
  EXPECT_THAT(declared_cuda_contracts(), ::testing::IsSupersetOf({"Add", "BatchNormFromSums", "BatchNormScaleBias"}));
}

TEST(EveryContract, HasACudaKernelOrAVendorsFunction) {
  std::set<std::string> defined = contracts_in_folder(RESIDUA_SOURCE_DIR "/cuda/kernels", {".cu"});
  const std::string vendor = RESIDUA_SOURCE_DIR "/cuda/libraries";
  if (std::filesystem::exists(vendor)) {
    defined.merge(contracts_in_folder(vendor, {".cpp"}));
  }
  for (const std::string& contract : declared_cuda_contracts()) {
    EXPECT_TRUE(defined.contains(contract)) << contract << " is declared, but defined in no file of cuda/";
  }
}

/// What run(device, args) has run since it was made.
class Recorded {
 public:
  std::set<std::string> contracts() const {
    std::set<std::string> names;
    for (const auto& [key, entry] : recorder_.entries()) {
      names.insert(key.second);
    }
    return names;
  }

 private:
  profile::Recorder recorder_;
};

void run_operations() {
  for (const OpCase& c : op_cases()) {
    Random random(c.full_name());
    const DType dtype = c.dtypes.back();
    const std::vector<Tensor> inputs = make_inputs(c, dtype, draw_inputs(c, dtype, random), kDevice, Leaves::require_gradients);
    const Tensor y = c.run(inputs).front();
    if (c.differentiable()) {
      backward(projected(y, to_tensor(draw_projection(y.size(), y.dtype(), random), y.shape(), y.dtype(), kDevice)));
    }
  }
}

/// These all run in many orders of threads: OpOrders, ContractOrders.
TEST(EveryContract, IsRunByACaseOrACheck) {
  const Recorded recorded;
  run_operations();
  for (const ContractCheck& check : contract_checks()) {
    check.run(kDevice);
  }
  const std::set<std::string> ran = recorded.contracts();
  for (const std::string& contract : declared_cuda_contracts()) {
    EXPECT_TRUE(ran.contains(contract)) << "no operation's case and no contract check runs " << contract;
  }
}

}  // namespace
}  // namespace residua::test
