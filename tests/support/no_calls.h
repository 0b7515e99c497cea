#pragma once

#include <string>
#include <vector>

#include "core/distributed/communicator.h"

namespace residua::test {

/// Ranks that fail in every call.
class NoCalls final : public Communicator {
 public:
  using Communicator::Communicator;
  std::vector<std::string> gather(const std::string&) override { fail("gather was called"); }
  void sum(const Tensor&) override { fail("sum was called"); }
  void broadcast(const Tensor&) override { fail("broadcast was called"); }
  void gather_rows(const Tensor&) override { fail("gather_rows was called"); }
  void finish() override { fail("finish was called"); }
  [[noreturn]] void abort(int) override { fail("abort was called"); }
};

}  // namespace residua::test
