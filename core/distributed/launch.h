#pragma once

#include <cstdint>
#include <string>

namespace residua {

/// How this process was started: alone, or as one of several ranks by a launcher.
struct Launch {
  int64_t rank = 0;
  int64_t world = 1;
  int64_t local_rank = 0;     // among the ranks on this machine
  std::string launcher;       // "mpirun", "srun", "srun without PMIx", "torchrun"; empty: alone
  bool has_mpi = false;       // whether the launcher connects MPI programs
  bool chooses_gpus = false;  // whether CUDA_VISIBLE_DEVICES says which GPUs this process sees
  std::string address;        // where rank 0 listens if there is no MPI; empty: not told
  int64_t port = 0;
};

/// Reads a variable of the environment; null if it is not set.
using Environment = const char* (*)(const char* name);

/// Reads what Open MPI's mpirun, Slurm's srun and PyTorch's torchrun tell a process. Only srun itself counts, not the batch
/// script around it. Fails with UsageError, which names the variable, if one is missing, is not a number, or is out of range.
Launch launch_of(Environment environment);

}  // namespace residua
