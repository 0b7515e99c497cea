#include "core/distributed/communicator.h"

#include <algorithm>
#include <cstdlib>

#include "core/device/device_api.h"

namespace residua {

std::string Communicator::describe(int64_t rank) const { return fmt::format("rank {} of {}", rank, world_); }

void OneProcess::abort(int code) { std::_Exit(code); }

std::string of_rank_0(Communicator& communicator, const std::string& value) {
  return communicator.alone() ? value : communicator.gather(communicator.leads() ? value : std::string()).front();
}

int64_t largest(Communicator& communicator, int64_t value) {
  if (communicator.alone()) {
    return value;
  }
  int64_t most = value;
  for (const std::string& text : communicator.gather(std::to_string(value))) {
    most = std::max<int64_t>(most, std::stoll(text));
  }
  return most;
}

void sum_values(Communicator& communicator, std::span<int64_t> values) {
  if (communicator.alone()) {
    return;
  }
  const auto bytes = static_cast<int64_t>(values.size_bytes());
  const Tensor x = empty({std::ssize(values)}, DType::i64, communicator.device());
  device_api::copy(x.device(), x.data(), Device{}, values.data(), bytes);
  communicator.sum(x);
  communicator.finish();
  device_api::copy(Device{}, values.data(), x.device(), x.data(), bytes);
  communicator.check();
}

}  // namespace residua
