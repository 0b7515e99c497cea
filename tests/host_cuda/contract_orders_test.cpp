// What the direct checks of contracts want, whatever the order of threads and blocks, the size of a block and of the grid.
#include <gtest/gtest.h>

#include "tests/host_cuda/settings.h"
#include "tests/support/contract_check.h"
#include "tests/support/poisoned_memory.h"

namespace residua::test {
namespace {

constexpr Device kDevice{Device::Type::cuda, 0};

class ContractOrders : public ::testing::TestWithParam<ContractCheck> {};

TEST_P(ContractOrders, Holds) {
  Random random("ContractOrders " + GetParam().name);
  for (const Setting& s : settings(random)) {
    SCOPED_TRACE(s.string());
    const Scheduled scheduled(s);
    const PoisonedMemory poisoned(kDevice);
    GetParam().run(kDevice);
  }
}

INSTANTIATE_TEST_SUITE_P(All, ContractOrders, ::testing::ValuesIn(contract_checks()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace residua::test
