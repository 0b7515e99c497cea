// The threads of a block as fibers of Boost.Context. A fiber returns to the scheduler only at a barrier, at a warp operation
// and at its end. The orders differ in which fiber runs next.
#include "cuda/host/fibers.h"

#include <fmt/format.h>
#include <algorithm>
#include <boost/context/detail/fcontext.hpp>
#include <boost/context/protected_fixedsize_stack.hpp>
#include <exception>
#include <map>
#include <memory>
#include <random>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace residua::host_cuda {

thread_local ThreadView view;

namespace {

namespace context = boost::context::detail;

constexpr unsigned kWarp = 32;
constexpr size_t kStackBytes = size_t{256} << 10;
constexpr int64_t kMaxSharedBytes = 227 << 10;  // per block, on sm_90
constexpr int64_t kMaxStaticSharedBytes = 48 << 10;

enum class State : uint8_t { ready, barrier, warp, ended };

struct Fiber {
  boost::context::stack_context stack;
  context::fcontext_t context = nullptr;
  unsigned thread = 0;
  State state = State::ready;
  // The warp operation that it waits in:
  WarpOperation operation{};
  unsigned mask = 0;
  uint64_t value = 0;
  unsigned source = 0;
};

struct SharedArray {
  std::unique_ptr<unsigned char[]> data;
  int64_t bytes = 0;
  bool used = false;  // by the running block
};

/// The state of the running launch.
struct Machine {
  Machine() = default;
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  std::vector<Fiber> fibers;  // kept between launches; the first `threads` take part
  unsigned threads = 0;
  const std::function<void()>* body = nullptr;
  Fiber* running = nullptr;
  context::fcontext_t scheduler = nullptr;
  std::map<const void*, SharedArray> shared;
  std::unique_ptr<unsigned char[]> dynamic_shared;
  std::mt19937_64 random;
  std::exception_ptr failure;  // thrown by a kernel
#ifdef __SANITIZE_ADDRESS__
  const void* scheduler_stack = nullptr;
  size_t scheduler_stack_bytes = 0;
#endif
};
thread_local Machine machine;  // one thread may run each device

/// Switches from the running fiber to the scheduler. Returns when the fiber is resumed.
void yield_to_scheduler() {
#ifdef __SANITIZE_ADDRESS__
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(&fake_stack, machine.scheduler_stack, machine.scheduler_stack_bytes);
#endif
  const context::transfer_t back = context::jump_fcontext(machine.scheduler, nullptr);
#ifdef __SANITIZE_ADDRESS__
  // The next launch may come from another thread.
  __sanitizer_finish_switch_fiber(fake_stack, &machine.scheduler_stack, &machine.scheduler_stack_bytes);
#endif
  machine.scheduler = back.fctx;
}

void enter(context::transfer_t from) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(nullptr, &machine.scheduler_stack, &machine.scheduler_stack_bytes);
#endif
  machine.scheduler = from.fctx;
  for (;;) {  // one iteration per block
    try {
      (*machine.body)();
    } catch (...) {
      machine.failure = std::current_exception();
    }
    machine.running->state = State::ended;
    yield_to_scheduler();
  }
}

void resume(Fiber& fiber) {
  machine.running = &fiber;
  view.thread.x = fiber.thread;
#ifdef __SANITIZE_ADDRESS__
  void* fake_stack = nullptr;
  const auto* bottom = static_cast<const unsigned char*>(fiber.stack.sp) - fiber.stack.size;
  __sanitizer_start_switch_fiber(&fake_stack, bottom, fiber.stack.size);
#endif
  fiber.context = context::jump_fcontext(fiber.context, nullptr).fctx;
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
  machine.running = nullptr;
  if (machine.failure != nullptr) {
    std::rethrow_exception(std::exchange(machine.failure, nullptr));
  }
}

boost::context::protected_fixedsize_stack context_stacks() { return boost::context::protected_fixedsize_stack(kStackBytes); }

void prepare_fibers(unsigned threads) {
  while (machine.fibers.size() < threads) {
    machine.fibers.emplace_back().stack = context_stacks().allocate();
  }
  machine.threads = threads;
}

/// Sets every fiber to the first line of the kernel.
void begin_block() {
  for (unsigned t = 0; t < machine.threads; ++t) {
    Fiber& fiber = machine.fibers[t];
    if (fiber.context == nullptr) {
      fiber.context = context::make_fcontext(fiber.stack.sp, fiber.stack.size, enter);
    }
    fiber.thread = t;
    fiber.state = State::ready;
  }
  for (auto& [place, array] : machine.shared) {
    array.used = false;
  }
}

/// Makes all fibers start anew: after a fault they stand in the middle of the kernel.
void abandon_fibers(Machine& machine) {
  for (Fiber& fiber : machine.fibers) {
#ifdef __SANITIZE_ADDRESS__
    // Frames that never return keep their poison.
    __asan_unpoison_memory_region(static_cast<unsigned char*>(fiber.stack.sp) - fiber.stack.size, fiber.stack.size);
#endif
    fiber.context = nullptr;
  }
}

Machine::~Machine() {
  abandon_fibers(*this);
  for (Fiber& fiber : fibers) {
    context_stacks().deallocate(fiber.stack);
  }
}

/// Completes the warp operations that all lanes of their mask have reached. Returns whether there were any.
bool complete_warp_operations(unsigned first) {
  const unsigned end = std::min(first + kWarp, machine.threads);
  bool any = false;
  for (unsigned t = first; t < end; ++t) {
    Fiber& fiber = machine.fibers[t];
    if (fiber.state != State::warp) {
      continue;
    }
    if ((fiber.mask >> (t - first) & 1u) == 0) {
      throw KernelFault(fmt::format("thread {} is not in the mask {:#x} of its own warp operation", t, fiber.mask));
    }
    bool complete = true;
    for (unsigned lane = 0; lane < kWarp && complete; ++lane) {
      if ((fiber.mask >> lane & 1u) == 0) {
        continue;
      }
      if (first + lane >= end || machine.fibers[first + lane].state == State::ended) {
        throw KernelFault(
            fmt::format("thread {} waits in a warp operation for thread {}, which has returned", t, first + lane));
      }
      const Fiber& other = machine.fibers[first + lane];
      complete = other.state == State::warp;
      if (complete && (other.operation != fiber.operation || other.mask != fiber.mask)) {
        throw KernelFault(fmt::format("threads {} and {} of a warp are at different warp operations", t, first + lane));
      }
    }
    if (!complete) {
      continue;
    }
    uint64_t values[kWarp] = {};
    uint64_t votes = 0;
    for (unsigned lane = 0; lane < kWarp; ++lane) {
      if ((fiber.mask >> lane & 1u) != 0) {
        values[lane] = machine.fibers[first + lane].value;
        votes |= (values[lane] & 1u) << lane;
      }
    }
    const unsigned mask = fiber.mask;
    for (unsigned lane = 0; lane < kWarp; ++lane) {
      if ((mask >> lane & 1u) == 0) {
        continue;
      }
      Fiber& other = machine.fibers[first + lane];
      if (other.operation == WarpOperation::ballot) {
        other.value = votes;
      } else if (other.source >= kWarp || (mask >> other.source & 1u) == 0) {
        throw KernelFault(fmt::format("thread {} shuffles from lane {}, which takes no part", first + lane, other.source));
      } else {
        other.value = values[other.source];
      }
      other.state = State::ready;
    }
    any = true;
  }
  return any;
}

bool run_ready(unsigned thread) {
  if (machine.fibers[thread].state != State::ready) {
    return false;
  }
  resume(machine.fibers[thread]);
  return true;
}

/// One turn: runs every thread that can run, in the given order. Returns whether any could.
bool turn(Order order, std::vector<unsigned>& threads) {
  bool moved = false;
  if (order == Order::run_ahead || order == Order::run_ahead_reverse) {
    const bool reverse = order == Order::run_ahead_reverse;
    const unsigned warps = machine.threads / kWarp;
    for (unsigned w = 0; w < warps; ++w) {
      const unsigned first = (reverse ? warps - 1 - w : w) * kWarp;
      for (bool more = true; more;) {
        more = false;
        for (unsigned lane = 0; lane < kWarp; ++lane) {
          moved |= run_ready(first + (reverse ? kWarp - 1 - lane : lane));
        }
        more = complete_warp_operations(first);
        moved |= more;
      }
    }
    return moved;
  }
  if (order == Order::random) {
    std::ranges::shuffle(threads, machine.random);
  }
  for (const unsigned t : threads) {
    moved |= run_ready(t);
  }
  for (unsigned first = 0; first < machine.threads; first += kWarp) {
    moved |= complete_warp_operations(first);
  }
  return moved;
}

void run_block(Order order) {
  begin_block();
  std::vector<unsigned> threads(machine.threads);
  for (unsigned t = 0; t < machine.threads; ++t) {
    threads[t] = order == Order::reverse ? machine.threads - 1 - t : t;
  }
  for (;;) {
    const bool moved = turn(order, threads);
    unsigned waiting = 0;
    unsigned ended = 0;
    for (unsigned t = 0; t < machine.threads; ++t) {
      waiting += machine.fibers[t].state == State::barrier ? 1 : 0;
      ended += machine.fibers[t].state == State::ended ? 1 : 0;
    }
    if (ended == machine.threads) {
      return;
    }
    if (waiting != 0 && waiting + ended == machine.threads) {
      if (ended != 0) {
        throw KernelFault(fmt::format("{} threads returned while {} wait at a barrier", ended, waiting));
      }
      for (unsigned t = 0; t < machine.threads; ++t) {
        machine.fibers[t].state = State::ready;
      }
    } else if (!moved) {
      throw KernelFault(fmt::format("no thread can continue: {} wait at a barrier, {} in warp operations, {} have returned",
                                    waiting, machine.threads - waiting - ended, ended));
    }
  }
}

/// Fills memory with 0xff bytes, which is NaN in every floating type.
void fill_with_nan(void* data, int64_t bytes) { std::memset(data, 0xff, static_cast<size_t>(bytes)); }

}  // namespace

Schedule& schedule() {
  static Schedule current;
  return current;
}

void barrier() {
  machine.running->state = State::barrier;
  yield_to_scheduler();
}

uint64_t exchange(WarpOperation operation, unsigned mask, uint64_t value, unsigned source) {
  Fiber& fiber = *machine.running;
  fiber.operation = operation;
  fiber.mask = mask;
  fiber.value = value;
  fiber.source = source;
  fiber.state = State::warp;
  yield_to_scheduler();
  return fiber.value;
}

void* shared_memory_bytes(const void* place, int64_t bytes) {
  SharedArray& array = machine.shared[place];
  if (array.data == nullptr) {
    int64_t total = bytes;
    for (const auto& [other, used] : machine.shared) {
      total += used.bytes;
    }
    if (total > kMaxStaticSharedBytes) {
      throw KernelFault(
          fmt::format("a block has {} bytes of static shared memory, at most {} are available", total, kMaxStaticSharedBytes));
    }
    array.data = std::make_unique_for_overwrite<unsigned char[]>(static_cast<size_t>(bytes));
    array.bytes = bytes;
  }
  if (!array.used) {
    fill_with_nan(array.data.get(), bytes);
    array.used = true;
  }
  return array.data.get();
}

void* dynamic_shared_memory() { return machine.dynamic_shared.get(); }

void run_grid(const Shape& shape, const std::function<void()>& body) {
  if (shape.shared_bytes < 0 || shape.shared_bytes > kMaxSharedBytes) {
    throw KernelFault(
        fmt::format("a block wants {} bytes of shared memory, at most {} are available", shape.shared_bytes, kMaxSharedBytes));
  }
  prepare_fibers(static_cast<unsigned>(shape.threads));
  machine.body = &body;
  machine.shared.clear();
  machine.dynamic_shared = std::make_unique_for_overwrite<unsigned char[]>(static_cast<size_t>(shape.shared_bytes));
  const Schedule now = schedule();
  machine.random.seed(now.seed);
  view.block_size = {static_cast<unsigned>(shape.threads), 1, 1};
  view.grid_size = {static_cast<unsigned>(shape.blocks), 1, 1};
  std::vector<unsigned> blocks(static_cast<size_t>(shape.blocks));
  for (size_t b = 0; b < blocks.size(); ++b) {
    blocks[b] = static_cast<unsigned>(b);
  }
  if (now.order == Order::reverse || now.order == Order::run_ahead_reverse) {
    std::ranges::reverse(blocks);
  } else if (now.order == Order::random) {
    std::ranges::shuffle(blocks, machine.random);
  }
  for (const unsigned block : blocks) {
    view.block = {block, 0, 0};
    fill_with_nan(machine.dynamic_shared.get(), shape.shared_bytes);
    try {
      run_block(now.order);
    } catch (...) {
      abandon_fibers(machine);
      throw;
    }
  }
}

}  // namespace residua::host_cuda
