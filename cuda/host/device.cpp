// A CUDA device without a GPU: implements core/device/device_backend.h with host memory and host queues.
#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/device/device_backend.h"
#include "cuda/host/collectives.h"
#include "cuda/host/fibers.h"
#include "cuda/host/memory.h"
#include "cuda/host/plans.h"
#include "cuda/host/queue.h"

/// Defined in both residua_cuda and residua_host_cuda, so that a program that links both fails to link.
extern const char residua_cuda_device_implementation[];
const char residua_cuda_device_implementation[] = "host";

namespace residua {

namespace host_cuda {
namespace {

constexpr int kMultiprocessors = 3;  // few, so that small cases need several iterations of a grid-stride loop

using device_api::StreamKind;

std::atomic<Laziness> laziness = Laziness::eager;
std::atomic<int64_t> capacity = INT64_MAX;
std::atomic<int64_t> used_bytes = 0;
std::atomic<int64_t> host_reads = 0;
std::atomic<int64_t> saves = 0;
std::atomic<int> visible_devices = 1;

struct DeviceQueues {
  explicit DeviceQueues(int device) : number(device) {}
  int number;
  std::array<Queue, device_api::kStreamKinds> queues{Queue(StreamKind::compute), Queue(StreamKind::copy),
                                                     Queue(StreamKind::communication)};
  std::array<cuda::Stream, device_api::kStreamKinds> streams{cuda::Stream{number, kMultiprocessors, &queues[0]},
                                                             cuda::Stream{number, kMultiprocessors, &queues[1]},
                                                             cuda::Stream{number, kMultiprocessors, &queues[2]}};
};

std::vector<std::unique_ptr<DeviceQueues>>& devices() {
  static auto* const instance = [] {
    auto* const made = new std::vector<std::unique_ptr<DeviceQueues>>;
    made->push_back(std::make_unique<DeviceQueues>(0));
    return made;
  }();
  return *instance;
}

DeviceQueues& at(int device) { return *devices().at(static_cast<size_t>(device)); }
Queue& of(int device, StreamKind which) { return at(device).queues[static_cast<size_t>(which)]; }

void drain(int device) {
  for (const StreamKind kind : {StreamKind::copy, StreamKind::communication, StreamKind::compute}) {
    of(device, kind).drain();
  }
}

/// Host memory that copies read when they run instead of when they are queued.
std::mutex pinned_mutex;
std::map<const void*, int64_t>& pinned() {
  static std::map<const void*, int64_t> regions;
  return regions;
}

bool is_pinned(const void* data) {
  const std::lock_guard lock(pinned_mutex);
  const auto after = pinned().upper_bound(data);
  if (after == pinned().begin()) {
    return false;
  }
  const auto& [start, bytes] = *std::prev(after);
  return data < static_cast<const unsigned char*>(start) + bytes;
}

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

void set_laziness(Laziness wanted) {
  for (const auto& device : devices()) {
    drain(device->number);
  }
  laziness = wanted;
}

void set_device_count(int count) {
  while (std::ssize(devices()) < count) {
    devices().push_back(std::make_unique<DeviceQueues>(static_cast<int>(std::ssize(devices()))));
  }
  visible_devices = count;
}

void set_free_bytes(int64_t bytes) {
  // What the pool keeps for later counts as free.
  capacity = bytes == INT64_MAX ? bytes : device_api::memory_use({Device::Type::cuda, 0}).live_bytes + bytes;
}

int64_t copies_to_host() { return host_reads; }
int64_t plan_saves() { return saves; }

void Queue::enqueue(Work work) {
  if (capture_ != nullptr) {
    capture_->add(kind_, std::move(work));
    return;
  }
  pending_.push_back(std::move(work));
  ++queued_;
  if (laziness == Laziness::eager && kind_ != StreamKind::communication) {
    drain();
  }
}

void Queue::run_until(int64_t count) {
  while (begun_ < count) {
    const Work work = std::move(pending_.front());
    pending_.pop_front();
    ++begun_;
    work();
    ++done_;
  }
}

void launch(cuda::Stream& stream, const Shape& shape, std::function<void()> body) {
  queue(stream).enqueue([shape, body = std::move(body)] { run_grid(shape, body); });
}

}  // namespace host_cuda

namespace cuda {

using device_api::StreamKind;
using host_cuda::of;

Stream& stream(Device device, StreamKind kind) { return host_cuda::at(device.index).streams[static_cast<size_t>(kind)]; }
Stream& current_stream(Device device) { return stream(device, StreamKind::compute); }

int device_count() { return host_cuda::visible_devices; }

std::string why_no_device() { return ""; }

void* allocate(int, int64_t bytes) noexcept {
  if (bytes > host_cuda::capacity - host_cuda::used_bytes) {
    return nullptr;
  }
  host_cuda::used_bytes += bytes;
  return std::aligned_alloc(64, static_cast<size_t>(bytes));
}

void deallocate(int device, void* data, int64_t bytes) noexcept {
  // cudaFree also waits for the device.
  synchronize(device);
  host_cuda::used_bytes -= bytes;
  std::free(data);
}

void set_bytes(int device, void* data, unsigned char value, int64_t bytes) {
  of(device, StreamKind::compute).enqueue([=] { std::memset(data, value, static_cast<size_t>(bytes)); });
}

void copy(Device to, void* destination, Device from, const void* source, int64_t bytes, StreamKind which) {
  host_cuda::Queue& queue = of(to.type == Device::Type::cpu ? from.index : to.index, which);
  const auto size = static_cast<size_t>(bytes);
  if (from.type == Device::Type::cpu && !host_cuda::is_pinned(source)) {
    const std::shared_ptr<unsigned char[]> staged(new unsigned char[size]);
    std::memcpy(staged.get(), source, size);
    queue.enqueue([=] { std::memcpy(destination, staged.get(), size); });
    return;
  }
  if (to.type == Device::Type::cpu && queue.capture() != nullptr) {
    fail("cannot copy to the host during a graph capture");
  }
  queue.enqueue([=] { std::memmove(destination, source, size); });
  if (to.type == Device::Type::cpu) {
    ++host_cuda::host_reads;
    queue.drain();
  }
}

void synchronize(int device) {
  if (of(device, StreamKind::compute).capture() != nullptr) {
    fail("cannot wait for the device during a graph capture");
  }
  host_cuda::drain(device);
}

bool native(int, DType) { return true; }

MemorySpace memory_space(int) {
  return {.free_bytes = host_cuda::capacity - host_cuda::used_bytes,
          .total_bytes = host_cuda::capacity,
          .limit = "the host CUDA device"};
}
void set_plan_options(int, const device_api::PlanOptions&) {}
void save_plans(int) { ++host_cuda::saves; }
std::vector<device_api::PlanChoice> plan_choices(int) { return {}; }
device_api::DeviceDescription describe(int) { return {.name = "the host CUDA device", .software = "fibers", .cache_bytes = 0}; }

bool pin(int, void* data, int64_t bytes) {
  const std::lock_guard lock(host_cuda::pinned_mutex);
  host_cuda::pinned()[data] = bytes;
  return true;
}
void unpin(int, void* data) noexcept {
  const std::lock_guard lock(host_cuda::pinned_mutex);
  host_cuda::pinned().erase(data);
}

void* make_event(int) { return new host_cuda::HostEvent; }
void drop_event(void* event) noexcept { delete static_cast<host_cuda::HostEvent*>(event); }

void record_event(void* event, int device, StreamKind kind) {
  const host_cuda::Queue& queue = of(device, kind);
  auto& at = *static_cast<host_cuda::HostEvent*>(event);
  at = {.queue = &of(device, kind), .count = queue.queued(), .capture = queue.capture(), .point = {}, .reading = {}};
  if (at.capture != nullptr) {
    at.point = at.capture->record(kind);
  }
}

void stream_wait_event(void* event, int device, StreamKind kind) {
  const host_cuda::HostEvent at = *static_cast<host_cuda::HostEvent*>(event);
  host_cuda::Queue& queue = of(device, kind);
  if (at.queue == nullptr) {
    return;
  }
  if (at.capture == nullptr && queue.capture() == nullptr) {
    queue.enqueue([from = at.queue, count = at.count] { from->run_until(count); });
    return;
  }
  // The first wait for a captured event makes the stream part of the capture.
  if (at.capture == nullptr || at.capture != of(device, StreamKind::compute).capture()) {
    fail("during a graph capture, a stream can only wait for events of that capture");
  }
  queue.set_capture(at.capture);
  at.capture->wait(kind, at.queue->kind(), at.point);
}

void* make_timestamp(int device) { return make_event(device); }

void record_timestamp(void* timestamp, int device) {
  auto* const event = static_cast<host_cuda::HostEvent*>(timestamp);
  host_cuda::Queue& queue = of(device, StreamKind::compute);
  queue.enqueue([event] { event->reading = std::chrono::steady_clock::now(); });
  event->queue = &queue;
  event->count = queue.queued();
}

double seconds_between(void* start, void* end) {
  wait_for_event(end);
  const auto reading = [](void* event) { return static_cast<host_cuda::HostEvent*>(event)->reading; };
  return std::chrono::duration<double>(reading(end) - reading(start)).count();
}

void wait_for_event(void* event) {
  const host_cuda::HostEvent at = *static_cast<host_cuda::HostEvent*>(event);
  host_cuda::check_not_captured(at);
  if (at.queue != nullptr) {
    at.queue->run_until(at.count);
  }
}

bool event_reached(void* event, int) {
  const auto& at = *static_cast<host_cuda::HostEvent*>(event);
  host_cuda::check_not_captured(at);
  return at.queue == nullptr || at.queue->done() >= at.count;
}

namespace {

using CapturedGraph = std::shared_ptr<host_cuda::Capture>;

/// Ends the capture on all streams.
CapturedGraph take_capture(int device) {
  CapturedGraph capture = of(device, StreamKind::compute).capture();
  for (host_cuda::Queue& queue : host_cuda::at(device).queues) {
    queue.set_capture(nullptr);
  }
  return capture;
}

}  // namespace

void begin_capture(int device) { of(device, StreamKind::compute).set_capture(std::make_shared<host_cuda::Capture>()); }

void* end_capture(int device) {
  CapturedGraph capture = take_capture(device);
  capture->check_joined();
  return new CapturedGraph(std::move(capture));
}

void abandon_capture(int device) noexcept { take_capture(device); }

void launch_graph(void* graph, int device) {
  // As with CUDA, the queue keeps what it needs: the graph may be dropped before its work has run.
  of(device, StreamKind::compute).enqueue([work = *static_cast<CapturedGraph*>(graph)] {
    host_cuda::laziness == host_cuda::Laziness::eager ? work->run_eagerly() : work->run_lazily();
  });
}

void drop_graph(void* graph) noexcept { delete static_cast<CapturedGraph*>(graph); }

}  // namespace cuda
}  // namespace residua
