// Events of the host CUDA device: a place in a queue.
#include <chrono>
#include <cstdint>
#include <memory>

#include "core/base/error.h"
#include "core/device/device_backend.h"
#include "cuda/host/queue.h"

namespace residua::cuda {

using device_api::StreamKind;
using host_cuda::Capture;
using host_cuda::Queue;
using host_cuda::queue_of;

namespace {

struct HostEvent {
  Queue* queue = nullptr;
  int64_t count = 0;
  std::shared_ptr<Capture> capture;  // if it was recorded during one
  Capture::Point point{};
  std::chrono::steady_clock::time_point reading;
};

void check_not_captured(const HostEvent& event) {
  if (event.capture != nullptr) {
    fail("an event that was recorded during a graph capture has no meaning outside it");
  }
}

}  // namespace

void* make_event(int) { return new HostEvent; }
void drop_event(void* event) noexcept { delete static_cast<HostEvent*>(event); }

void record_event(void* event, int device, StreamKind kind) {
  const Queue& queue = queue_of(device, kind);
  auto& at = *static_cast<HostEvent*>(event);
  at = {.queue = &queue_of(device, kind), .count = queue.queued(), .capture = queue.capture(), .point = {}, .reading = {}};
  if (at.capture != nullptr) {
    at.point = at.capture->record(kind);
  }
}

void stream_wait_event(void* event, int device, StreamKind kind) {
  const HostEvent at = *static_cast<HostEvent*>(event);
  Queue& queue = queue_of(device, kind);
  if (at.queue == nullptr) {
    return;
  }
  if (at.capture == nullptr && queue.capture() == nullptr) {
    queue.enqueue([from = at.queue, count = at.count] { from->run_until(count); });
    return;
  }
  // The first wait for a captured event makes the stream part of the capture.
  if (at.capture == nullptr || at.capture != queue_of(device, StreamKind::compute).capture()) {
    fail("during a graph capture, a stream can only wait for events of that capture");
  }
  queue.set_capture(at.capture);
  at.capture->wait(kind, at.queue->kind(), at.point);
}

void* make_timestamp(int device) { return make_event(device); }

void record_timestamp(void* timestamp, int device) {
  auto* const event = static_cast<HostEvent*>(timestamp);
  Queue& queue = queue_of(device, StreamKind::compute);
  queue.enqueue([event] { event->reading = std::chrono::steady_clock::now(); });
  event->queue = &queue;
  event->count = queue.queued();
}

double seconds_between(void* start, void* end) {
  wait_for_event(end);
  const auto reading = [](void* event) { return static_cast<HostEvent*>(event)->reading; };
  return std::chrono::duration<double>(reading(end) - reading(start)).count();
}

void wait_for_event(void* event) {
  const HostEvent at = *static_cast<HostEvent*>(event);
  check_not_captured(at);
  if (at.queue != nullptr) {
    at.queue->run_until(at.count);
  }
}

bool event_reached(void* event, int) {
  const auto& at = *static_cast<HostEvent*>(event);
  check_not_captured(at);
  return at.queue == nullptr || at.queue->done() >= at.count;
}

}  // namespace residua::cuda
