#include "core/distributed/connect.h"

#include "core/config/settings.h"
#include "core/device/device_api.h"
#include "core/distributed/device_communicator.h"
#include "core/distributed/mpi_communicator.h"
#include "core/distributed/tcp_communicator.h"

namespace residua {
namespace {

std::unique_ptr<Communicator> connect_on_cpu(const Launch& launch, double limit) {
  if (!launch.has_mpi) {
    fail_usage(
        "{} started {} ranks, but on the CPU device ranks are connected by MPI: start them with mpirun -n {} (or srun "
        "--mpi=pmix), or train on GPUs",
        launch.launcher, launch.world, launch.world);
  }
  return mpi_communicator(launch, limit);
}

std::unique_ptr<HostCommunicator> connect_hosts(const Launch& launch, double limit) {
  if (launch.has_mpi && built_with_mpi()) {
    return mpi_communicator(launch, limit);
  }
  if (launch.address.empty()) {
    fail_usage(
        "{} started {} ranks, but {}, and it does not say where rank 0 is: set MASTER_ADDR to the host of rank 0 and "
        "MASTER_PORT to a free port for all ranks, or use torchrun",
        launch.launcher, launch.world, launch.has_mpi ? "this build has no MPI" : "it does not connect MPI programs");
  }
  return tcp_communicator(launch, limit);
}

}  // namespace

void declare_rank_timeout(Settings& settings, double& limit) {
  settings
      .number("rank-timeout", limit, between(0, 1e6),
              "With several ranks: how many seconds they wait for one that does not answer. Then they name it and end the run. "
              "0: no limit.")
      .without_result();
}

Device device_of_rank(std::string_view text, const Launch& launch) {
  const Device asked = parse_device(text);
  if (asked.type == Device::Type::cpu || launch.world == 1 || (text != "auto" && text != "cuda")) {
    return asked;
  }
  const int count = device_api::cuda_device_count();
  if (count == 1 && launch.chooses_gpus) {  // each rank sees its own alone
    return {Device::Type::cuda, 0};
  }
  if (launch.local_rank >= count) {
    fail_usage(
        "rank {} is number {} on its machine, which has {} CUDA devices: start at most one rank for each device, or train on "
        "the CPU device",
        launch.rank, launch.local_rank, count);
  }
  return {Device::Type::cuda, static_cast<int>(launch.local_rank)};
}

std::unique_ptr<Communicator> connect(const Launch& launch, Device device, double limit) {
  if (launch.world == 1) {
    return std::make_unique<OneProcess>();
  }
  if (device.type == Device::Type::cpu) {
    return connect_on_cpu(launch, limit);
  }
  if (const std::string why = device_api::why_no_collectives(device); !why.empty()) {
    fail_usage("{} started {} ranks, but {}; or start one process", launch.launcher, launch.world, why);
  }
  return device_communicator(device, connect_hosts(launch, limit), limit);
}

}  // namespace residua
