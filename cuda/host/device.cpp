// A CUDA device without a GPU: implements core/device/device_backend.h with host memory and host queues.
#include <array>
#include <atomic>
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

std::atomic<Laziness> chosen_laziness = Laziness::eager;
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

void drain(int device) {
  for (const StreamKind kind : {StreamKind::copy, StreamKind::communication, StreamKind::compute}) {
    queue_of(device, kind).drain();
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

}  // namespace

Queue& queue_of(int device, StreamKind kind) { return at(device).queues[static_cast<size_t>(kind)]; }

void set_laziness(Laziness wanted) {
  for (const auto& device : devices()) {
    drain(device->number);
  }
  chosen_laziness = wanted;
}

Laziness laziness() { return chosen_laziness; }

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
  if (chosen_laziness == Laziness::eager && kind_ != StreamKind::communication) {
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
using host_cuda::queue_of;

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
  queue_of(device, StreamKind::compute).enqueue([=] { std::memset(data, value, static_cast<size_t>(bytes)); });
}

void copy(Device to, void* destination, Device from, const void* source, int64_t bytes, StreamKind which) {
  host_cuda::Queue& queue = queue_of(to.type == Device::Type::cpu ? from.index : to.index, which);
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
  if (queue_of(device, StreamKind::compute).capture() != nullptr) {
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

}  // namespace cuda
}  // namespace residua
