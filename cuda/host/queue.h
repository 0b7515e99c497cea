#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>

#include "core/device/device_api.h"
#include "cuda/host/capture.h"
#include "cuda/runtime/stream.h"

namespace residua::host_cuda {

/// When work of the host CUDA device runs. On a GPU, work may start at any moment between being queued and being waited for.
/// Eager queues run it immediately, lazy queues only when somebody waits. Code that works under both does not depend on timing.
enum class Laziness : uint8_t { eager, lazy };

/// Sets the laziness of all queues. Runs pending work first. The communication streams are always lazy: what they do waits for
/// other ranks, and must not keep the thread that queues it.
void set_laziness(Laziness laziness);
Laziness laziness();

class Queue {
 public:
  using Work = std::function<void()>;
  explicit Queue(device_api::StreamKind kind) : kind_(kind) {}

  device_api::StreamKind kind() const { return kind_; }
  void enqueue(Work work);
  /// Runs pending work up to the `count`-th piece ever queued.
  void run_until(int64_t count);
  void drain() { run_until(queued_); }
  int64_t queued() const { return queued_; }
  /// Pieces that have ended. Any thread may ask.
  int64_t done() const { return done_; }

  /// What collects this queue's work instead of running it; null if nothing does.
  const std::shared_ptr<Capture>& capture() const { return capture_; }
  void set_capture(std::shared_ptr<Capture> capture) { capture_ = std::move(capture); }

 private:
  const device_api::StreamKind kind_;
  std::deque<Work> pending_;
  int64_t queued_ = 0;
  int64_t begun_ = 0;
  std::atomic<int64_t> done_ = 0;
  std::shared_ptr<Capture> capture_;
};

Queue& queue_of(int device, device_api::StreamKind kind);
inline Queue& queue(const cuda::Stream& stream) { return *static_cast<Queue*>(stream.native()); }

}  // namespace residua::host_cuda
