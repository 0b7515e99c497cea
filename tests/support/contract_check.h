#pragma once

#include <initializer_list>
#include <ostream>
#include <string>
#include <vector>

#include "core/device/device.h"

namespace residua::test {

/// A check that calls contracts directly, for behavior that no operation's case reaches. The list runs on every device and, on
/// the host CUDA device, in every order of threads.
struct ContractCheck {
  std::string name;  // what must hold, in letters and digits
  void (*run)(Device device);
};

/// A namespace-scope object of this type adds checks.
struct RegisterContractChecks {
  RegisterContractChecks(std::initializer_list<ContractCheck> checks);
};

/// All checks, ordered by name.
std::vector<ContractCheck> contract_checks();

// NOLINTNEXTLINE(readability-identifier-naming): GoogleTest's name
inline void PrintTo(const ContractCheck& check, std::ostream* out) { *out << check.name; }

}  // namespace residua::test
