#pragma once

#include <cstdint>
#include <stdexcept>

#include "cuda/host/shim.h"

namespace residua::host_cuda {

/// In which order the threads of a block, and the blocks of a grid, are run between barriers.
enum class Order : uint8_t {
  forward,           // thread 0 first, each as far as it can go
  reverse,           // the last thread first
  random,            // anew at each turn
  run_ahead,         // one warp as far ahead as it can go, past its own collectives, before the next moves
  run_ahead_reverse  // the same, the last warp first
};

/// What a kernel did that a GPU does not allow.
class KernelFault : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

struct Schedule {
  Order order = Order::forward;
  uint64_t seed = 1;  // of Order::random
};

/// For the launches that run from now on.
Schedule& schedule();

/// Runs a grid to its end on the calling thread. Fails with KernelFault: a thread that ended while others wait for it at a
/// barrier or in a warp operation, threads at different operations, a shuffle from a lane that takes no part, more shared
/// memory than a block can have.
void run_grid(const Shape& shape, const std::function<void()>& body);

}  // namespace residua::host_cuda
