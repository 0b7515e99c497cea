// A CUDA device without a GPU: implements core/device/device_backend.h with host memory and host queues.
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <utility>

#include "core/base/error.h"
#include "core/device/device_backend.h"
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

Laziness laziness = Laziness::eager;
int64_t capacity = INT64_MAX;
int64_t used_bytes = 0;
int64_t host_reads = 0;
int64_t saves = 0;

struct DeviceQueues {
  Queue compute, copy;
  cuda::Stream compute_stream{0, kMultiprocessors, &compute};
};

DeviceQueues& queues() {
  static auto* const instance = new DeviceQueues;
  return *instance;
}

Queue& of(device_api::StreamKind which) { return which == device_api::StreamKind::compute ? queues().compute : queues().copy; }

/// Host memory that copies read when they run instead of when they are queued.
std::map<const void*, int64_t>& pinned() {
  static std::map<const void*, int64_t> regions;
  return regions;
}

bool is_pinned(const void* data) {
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
  std::chrono::steady_clock::time_point reading;
};

}  // namespace

void set_laziness(Laziness wanted) {
  queues().copy.drain();
  queues().compute.drain();
  laziness = wanted;
}

void set_free_bytes(int64_t bytes) {
  // What the pool keeps for later counts as free.
  capacity = bytes == INT64_MAX ? bytes : device_api::memory_use({Device::Type::cuda, 0}).live_bytes + bytes;
}

int64_t copies_to_host() { return host_reads; }
int64_t plan_saves() { return saves; }

void Queue::enqueue(Work work) {
  if (capturing_) {
    captured_.push_back(std::move(work));
    return;
  }
  pending_.push_back(std::move(work));
  ++queued_;
  if (laziness == Laziness::eager) {
    drain();
  }
}

void Queue::run_until(int64_t count) {
  while (begun_ < count) {
    const Work work = std::move(pending_.front());
    pending_.pop_front();
    ++begun_;
    work();
  }
}

void Queue::begin_capture() { capturing_ = true; }

std::vector<Queue::Work> Queue::end_capture() {
  capturing_ = false;
  return std::exchange(captured_, {});
}

void launch(cuda::Stream& stream, const Shape& shape, std::function<void()> body) {
  queue(stream).enqueue([shape, body = std::move(body)] { run_grid(shape, body); });
}

}  // namespace host_cuda

namespace cuda {

using host_cuda::of;
using host_cuda::queues;

Stream& current_stream(Device) { return queues().compute_stream; }

int device_count() { return 1; }

std::string why_no_device() { return ""; }

void* allocate(int, int64_t bytes) noexcept {
  if (bytes > host_cuda::capacity - host_cuda::used_bytes) {
    return nullptr;
  }
  host_cuda::used_bytes += bytes;
  return std::aligned_alloc(64, static_cast<size_t>(bytes));
}

void deallocate(int, void* data, int64_t bytes) noexcept {
  // cudaFree also waits for the device.
  synchronize(0);
  host_cuda::used_bytes -= bytes;
  std::free(data);
}

void set_bytes(int, void* data, unsigned char value, int64_t bytes) {
  queues().compute.enqueue([=] { std::memset(data, value, static_cast<size_t>(bytes)); });
}

void copy(Device to, void* destination, Device from, const void* source, int64_t bytes, device_api::StreamKind which) {
  host_cuda::Queue& queue = of(which);
  const auto size = static_cast<size_t>(bytes);
  if (from.type == Device::Type::cpu && !host_cuda::is_pinned(source)) {
    const std::shared_ptr<unsigned char[]> staged(new unsigned char[size]);
    std::memcpy(staged.get(), source, size);
    queue.enqueue([=] { std::memcpy(destination, staged.get(), size); });
    return;
  }
  if (to.type == Device::Type::cpu && queue.capturing()) {
    fail("cannot copy to the host during a graph capture");
  }
  queue.enqueue([=] { std::memmove(destination, source, size); });
  if (to.type == Device::Type::cpu) {
    ++host_cuda::host_reads;
    queue.drain();
  }
}

void synchronize(int) {
  if (queues().compute.capturing()) {
    fail("cannot wait for the device during a graph capture");
  }
  queues().copy.drain();
  queues().compute.drain();
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
  host_cuda::pinned()[data] = bytes;
  return true;
}
void unpin(int, void* data) noexcept { host_cuda::pinned().erase(data); }

void* make_event(int) { return new host_cuda::HostEvent; }
void drop_event(void* event) noexcept { delete static_cast<host_cuda::HostEvent*>(event); }

void record_event(void* event, int, device_api::StreamKind queue) {
  *static_cast<host_cuda::HostEvent*>(event) = {&of(queue), of(queue).queued(), {}};
}

void stream_wait_event(void* event, int, device_api::StreamKind queue) {
  const host_cuda::HostEvent at = *static_cast<host_cuda::HostEvent*>(event);
  if (at.queue != nullptr) {
    of(queue).enqueue([at] { at.queue->run_until(at.count); });
  }
}

void* make_timestamp(int device) { return make_event(device); }

void record_timestamp(void* timestamp, int) {
  auto* const event = static_cast<host_cuda::HostEvent*>(timestamp);
  queues().compute.enqueue([event] { event->reading = std::chrono::steady_clock::now(); });
  event->queue = &queues().compute;
  event->count = queues().compute.queued();
}

double seconds_between(void* start, void* end) {
  wait_for_event(end);
  const auto reading = [](void* event) { return static_cast<host_cuda::HostEvent*>(event)->reading; };
  return std::chrono::duration<double>(reading(end) - reading(start)).count();
}

void wait_for_event(void* event) {
  const host_cuda::HostEvent at = *static_cast<host_cuda::HostEvent*>(event);
  if (at.queue != nullptr) {
    at.queue->run_until(at.count);
  }
}

void begin_capture(int) { queues().compute.begin_capture(); }
void* end_capture(int) { return new std::vector<host_cuda::Queue::Work>(queues().compute.end_capture()); }
void abandon_capture(int) noexcept { queues().compute.end_capture(); }

void launch_graph(void* graph, int) {
  // As with CUDA, the queue keeps what it needs: the graph may be dropped before its work has run.
  const auto& work = *static_cast<std::vector<host_cuda::Queue::Work>*>(graph);
  for (const host_cuda::Queue::Work& piece : work) {
    queues().compute.enqueue(piece);
  }
}

void drop_graph(void* graph) noexcept { delete static_cast<std::vector<host_cuda::Queue::Work>*>(graph); }

}  // namespace cuda
}  // namespace residua
