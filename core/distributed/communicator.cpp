#include "core/distributed/communicator.h"

#include <algorithm>
#include <cstdlib>

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

}  // namespace residua
