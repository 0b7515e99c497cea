#include "core/distributed/launch.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string_view>

#include "core/base/error.h"

namespace residua {
namespace {

int64_t number(Environment environment, const char* name, int64_t least, int64_t most) {
  const char* text = environment(name);
  if (text == nullptr) {
    fail_usage(
        "{} is not set, but other variables of a launcher are; start all ranks with mpirun, srun or torchrun, or unset "
        "WORLD_SIZE for one process",
        name);
  }
  int64_t value = 0;
  const char* end = text + std::strlen(text);
  const auto [parsed, error] = std::from_chars(text, end, value);
  if (error != std::errc() || parsed != end || value < least || value > most) {
    fail_usage("the launcher sets {} to '{}'; wanted a number from {} to {}", name, text, least, most);
  }
  return value;
}

bool set(Environment environment, const char* name) { return environment(name) != nullptr; }

constexpr int64_t kMostRanks = 1 << 20;

/// Reads the three numbers from the variables with these names.
Launch launch_from(Environment environment, const char* launcher, const char* rank, const char* world, const char* local_rank) {
  Launch launch;
  launch.launcher = launcher;
  launch.world = number(environment, world, 1, kMostRanks);
  launch.rank = number(environment, rank, 0, launch.world - 1);
  launch.local_rank = number(environment, local_rank, 0, launch.world - 1);
  launch.chooses_gpus = set(environment, "CUDA_VISIBLE_DEVICES");
  return launch;
}

void read_address(Environment environment, Launch& launch) {
  if (const char* address = environment("MASTER_ADDR"); address != nullptr && *address != '\0') {
    launch.address = address;
    launch.port = number(environment, "MASTER_PORT", 1, 65535);
  }
}

/// The first host of a list like "node[03-05,9],gpu1": "node03".
std::string first_host(std::string_view list) {
  std::string host;
  for (size_t i = 0; i < list.size() && list[i] != ','; ++i) {
    if (list[i] != '[') {
      host += list[i];
      continue;
    }
    const size_t end = std::min(list.find(']', i), list.size());
    const std::string_view numbers = list.substr(i + 1, end - i - 1);
    host += numbers.substr(0, numbers.find_first_of(",-"));
    i = end;
  }
  return host;
}

/// Slurm starts rank 0 on the first host of the step. All ranks work out the same port from the numbers of job and step.
void read_slurm_address(Environment environment, Launch& launch) {
  const char* hosts = environment("SLURM_STEP_NODELIST");
  if (hosts == nullptr || !set(environment, "SLURM_JOB_ID")) {
    return;
  }
  constexpr int64_t kMost = int64_t{1} << 40;
  const int64_t job = number(environment, "SLURM_JOB_ID", 0, kMost);
  const int64_t step = set(environment, "SLURM_STEP_ID") ? number(environment, "SLURM_STEP_ID", 0, kMost) : 0;
  // Below the ports that systems hand out by themselves; two apart, because rank 0 listens at the next one.
  constexpr int64_t kFirst = 20000, kPorts = 6000;
  launch.address = first_host(hosts);
  launch.port = kFirst + 2 * ((job * 31 + step) % kPorts);
}

}  // namespace

Launch launch_of(Environment environment) {
  if (set(environment, "OMPI_COMM_WORLD_SIZE")) {
    Launch launch =
        launch_from(environment, "mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK");
    launch.has_mpi = true;
    if (set(environment, "MASTER_PORT")) {  // for a build without MPI
      read_address(environment, launch);
    }
    return launch;
  }
  if (set(environment, "WORLD_SIZE") && set(environment, "RANK")) {
    Launch launch = launch_from(environment, "torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK");
    read_address(environment, launch);
    if (launch.world > 1 && launch.address.empty()) {
      fail_usage("the launcher does not set MASTER_ADDR, the address of rank 0");
    }
    return launch;
  }
  // A batch script has SLURM_NTASKS and SLURM_PROCID too, but is no step of several tasks.
  if (set(environment, "SLURM_STEP_NUM_TASKS") && set(environment, "SLURM_PROCID")) {
    const bool has_mpi = set(environment, "PMIX_RANK");
    Launch launch = launch_from(environment, has_mpi ? "srun" : "srun without PMIx", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS",
                                "SLURM_LOCALID");
    launch.has_mpi = has_mpi;
    read_address(environment, launch);
    if (launch.address.empty()) {
      read_slurm_address(environment, launch);
    }
    return launch;
  }
  return {};
}

}  // namespace residua
