#include "tools/cli/ranks.h"

#include <fmt/format.h>
#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "core/distributed/mpi_communicator.h"

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
  if (launch_.world > 1) {
    if (device.type != Device::Type::cpu) {
      fail_usage("several ranks on {}: not part of this version; use --device cpu", device.string());
    }
    if (!launch_.has_mpi) {
      fail_usage("{} started {} ranks, but on the CPU device they need MPI: start them with mpirun -n {}", launch_.launcher,
                 launch_.world, launch_.world);
    }
    all_ = mpi_communicator(launch_, limit);
  }
  return *all_;
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
