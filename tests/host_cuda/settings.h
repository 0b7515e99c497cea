#pragma once

#include <fmt/format.h>

#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "cuda/host/fibers.h"
#include "cuda/runtime/launch_options.h"
#include "tests/support/random.h"

namespace residua::test {

/// How kernels are run: the order of threads and blocks, the size of a block, the most blocks of a grid.
struct Setting {
  host_cuda::Order order;
  int threads;
  int64_t max_blocks;

  std::string string() const {
    return fmt::format("order {}, {} threads, at most {} blocks, seed {}", static_cast<int>(order), threads, max_blocks,
                       run_seed());
  }
};

/// For the time of one scope.
class Scheduled {
 public:
  explicit Scheduled(const Setting& s) {
    host_cuda::schedule() = {.order = s.order, .seed = run_seed()};
    cuda::launch_options() = {.threads = s.threads, .max_blocks = s.max_blocks};
  }
  ~Scheduled() {
    host_cuda::schedule() = {};
    cuda::launch_options() = {};
  }
  Scheduled(const Scheduled&) = delete;
  Scheduled& operator=(const Scheduled&) = delete;
};

/// All orders and all block sizes, in pairs that are drawn, each with a small grid: with the smallest blocks even a thousand
/// items take several turns of a grid-stride loop.
inline std::vector<Setting> settings(Random& random) {
  using host_cuda::Order;
  int threads[] = {32, 64, 96, 256, 1024};
  for (int64_t i = std::ssize(threads) - 1; i > 0; --i) {
    std::swap(threads[i], threads[random.integer(0, i)]);
  }
  std::vector<Setting> all;
  for (const Order order : {Order::forward, Order::reverse, Order::random, Order::run_ahead, Order::run_ahead_reverse}) {
    all.push_back({order, threads[all.size()], random.integer(1, 4)});
  }
  return all;
}

}  // namespace residua::test
