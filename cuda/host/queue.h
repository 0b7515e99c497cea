#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

#include "cuda/runtime/stream.h"

namespace residua::host_cuda {

/// A stream of the host CUDA device. As on a GPU, work may begin at any moment between being queued and being waited for: eager
/// queues begin at once, lazy ones only when somebody waits. What holds under both does not depend on luck.
enum class Laziness : uint8_t { eager, lazy };

/// For all queues; pending work is run first.
void set_laziness(Laziness laziness);

class Queue {
 public:
  using Work = std::function<void()>;

  void enqueue(Work work);
  /// Runs what is pending up to the `count`-th piece of work ever queued.
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
