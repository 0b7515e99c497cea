#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

#include "cuda/runtime/stream.h"

namespace residua::host_cuda {

/// When work of the host CUDA device runs. On a GPU, work may start at any moment between being queued and being waited for.
/// Eager queues run it immediately, lazy queues only when somebody waits. Code that works under both does not depend on timing.
enum class Laziness : uint8_t { eager, lazy };

/// Sets the laziness of all queues. Runs pending work first.
void set_laziness(Laziness laziness);

class Queue {
 public:
  using Work = std::function<void()>;

  void enqueue(Work work);
  /// Runs pending work up to the `count`-th piece ever queued.
  void run_until(int64_t count);
  void drain() { run_until(queued_); }
  int64_t queued() const { return queued_; }

  void begin_capture();
  bool capturing() const { return capturing_; }
  std::vector<Work> end_capture();

 private:
  std::deque<Work> pending_;
  int64_t queued_ = 0;
  int64_t begun_ = 0;
  bool capturing_ = false;
  std::vector<Work> captured_;
};

inline Queue& queue(const cuda::Stream& stream) { return *static_cast<Queue*>(stream.native()); }

}  // namespace residua::host_cuda
