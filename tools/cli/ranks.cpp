#include "tools/cli/ranks.h"

#include <fmt/format.h>
#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "core/distributed/connect.h"

namespace residua {

Ranks::~Ranks() {
  if (!finished_ && !all_->alone()) {
    all_->abort(code_);
  }
}

const Launch& Ranks::launch() {
  launch_ = launch_of([](const char* name) -> const char* { return std::getenv(name); });
  if (launch_.world > 1) {
    prefix_ = fmt::format("rank {} of {}: ", launch_.rank, launch_.world);
  }
  return launch_;
}

Communicator& Ranks::connect(Device device, double limit) {
  all_ = residua::connect(launch_, device, limit);
  return *all_;
}

bool Ranks::end_together() {
  all_->gather("");
  finished_ = true;
  return all_->leads();
}

int threads_of_rank(Communicator& ranks) {
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  const std::vector<std::string> hosts = ranks.gather(host.data());
  const auto here = std::count(hosts.begin(), hosts.end(), std::string(host.data()));
  const int usable = omp_get_num_procs();  // of those that the launcher has bound this process to
  const bool bound = usable < ::sysconf(_SC_NPROCESSORS_ONLN);
  return bound ? usable : std::max(1, usable / static_cast<int>(here));
}

}  // namespace residua
