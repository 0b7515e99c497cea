#include <gtest/gtest.h>

#include "tests/distributed/communicator_contract.h"

namespace residua::test {
namespace {

TEST(CommunicatorContract, HoldsForOneProcess) {
  OneProcess alone;
  check_host_contract(alone);
  check_tensor_contract(alone, Device{});
}

TEST(CommunicatorContract, ASumThatIsMissingIsFound) {
  struct TwoThatDoNotSum final : Communicator {
    TwoThatDoNotSum() : Communicator(0, 2) {}
    std::vector<std::string> gather(const std::string& value) override { return {value, value}; }
    void sum(const Tensor&) override {}
    void broadcast(const Tensor&) override {}
    void gather_rows(const Tensor&) override {}
    void finish() override {}
    [[noreturn]] void abort(int) override { std::abort(); }
  } broken;
  EXPECT_THROW(check_tensor_contract(broken, Device{}), Error);
  EXPECT_THROW(check_host_contract(broken), Error);
}

}  // namespace
}  // namespace residua::test
