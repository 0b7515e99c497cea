#pragma once

#include <cstdint>
#include <stdexcept>

#include "cuda/host/shim.h"

namespace residua::host_cuda {

/// The order in which the threads of a block, and the blocks of a grid, run between barriers.
enum class Order : uint8_t {
  forward,           // thread 0 first, each as far as it can go
  reverse,           // the last thread first
  random,            // a new random order in each turn
  run_ahead,         // each warp as far as it can go, past its own collectives, before the next one runs
  run_ahead_reverse  // like run_ahead, the last warp first
};

/// A kernel did something that a GPU does not allow.
class KernelFault : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

struct Schedule {
  Order order = Order::forward;
  uint64_t seed = 1;  // for Order::random
};

/// The schedule of all launches that run from now on.
Schedule& schedule();

/// Runs a whole grid on the calling thread. Throws KernelFault if a thread has returned while others wait for it at a barrier
/// or in a warp operation, if threads are at different warp operations, if a shuffle reads from a lane that takes no part, or
/// if a block needs more shared memory than it can have.
void run_grid(const Shape& shape, const std::function<void()>& body);

}  // namespace residua::host_cuda
