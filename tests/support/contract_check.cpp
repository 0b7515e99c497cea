#include "tests/support/contract_check.h"

#include <algorithm>

namespace residua::test {
namespace {

std::vector<ContractCheck>& registered() {
  static std::vector<ContractCheck> list;
  return list;
}

}  // namespace

RegisterContractChecks::RegisterContractChecks(std::initializer_list<ContractCheck> checks) {
  registered().insert(registered().end(), checks);
}

std::vector<ContractCheck> contract_checks() {
  std::vector<ContractCheck> all = registered();
  std::ranges::sort(all, {}, &ContractCheck::name);
  return all;
}

}  // namespace residua::test
