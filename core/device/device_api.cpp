#include "core/device/device_api.h"

#include <deque>
#include <mutex>
#include <utility>

#include "core/base/error.h"
#include "core/device/allocation_fault.h"
#include "core/device/built_with_cuda.h"
#include "core/device/device_backend.h"
#include "core/device/memory_pool.h"

namespace residua::device_api {
namespace {

bool is_cpu(Device device) { return device.type == Device::Type::cpu; }

/// Calls `on_cpu` for the CPU device and `on_cuda` for a CUDA device.
template <class Cpu, class Cuda>
auto choose(Device device, const Cpu& on_cpu, [[maybe_unused]] const Cuda& on_cuda) {
  if (is_cpu(device)) {
    return on_cpu();
  }
  if constexpr (kBuiltWithCuda) {
    return on_cuda(device.index);
  } else {
    fail("device {} was asked for, but this build has no CUDA: configure with -DRESIDUA_CUDA=ON", device.string());
  }
}

/// Never destroyed, because static tensors may be destroyed after it.
MemoryPool& pool(Device device) {
  static MemoryPool* const host = new MemoryPool(Device{});
  if (is_cpu(device)) {
    return *host;
  }
  static std::mutex mutex;
  static auto* const pools = new std::deque<MemoryPool>;
  const std::lock_guard lock(mutex);
  while (static_cast<int>(pools->size()) <= device.index) {
    pools->emplace_back(Device{Device::Type::cuda, static_cast<int>(pools->size())});
  }
  return (*pools)[static_cast<size_t>(device.index)];
}

}  // namespace

int cuda_device_count() {
  if constexpr (kBuiltWithCuda) {
    return cuda::device_count();
  } else {
    return 0;
  }
}

std::string why_no_cuda_device() {
  if constexpr (kBuiltWithCuda) {
    return cuda::why_no_device();
  } else {
    return "";
  }
}

void* allocate(Device device, int64_t bytes) { return pool(device).allocate(bytes); }

void free(Device device, void* data) noexcept { pool(device).free(data); }

void copy(Device to, void* destination, Device from, const void* source, int64_t bytes, StreamKind queue) {
  if (bytes == 0) {
    return;
  }
  const Device device = is_cpu(to) ? from : to;
  choose(
      device, [&] { cpu::copy(to, destination, from, source, bytes, queue); },
      [&](int) { cuda::copy(to, destination, from, source, bytes, queue); });
}

void synchronize(Device device) {
  choose(
      device, [&] { cpu::synchronize(device.index); }, [](int index) { cuda::synchronize(index); });
}

bool native(Device device, DType dtype) {
  return choose(
      device, [&] { return cpu::native(device.index, dtype); }, [&](int index) { return cuda::native(index, dtype); });
}

void set_plan_options(Device device, const PlanOptions& options) {
  choose(
      device, [] {}, [&](int index) { cuda::set_plan_options(index, options); });
}

void save_plans(Device device) {
  choose(
      device, [] {}, [](int index) { cuda::save_plans(index); });
}

std::vector<PlanChoice> plan_choices(Device device) {
  return choose(
      device, [] { return std::vector<PlanChoice>(); }, [](int index) { return cuda::plan_choices(index); });
}

DeviceDescription describe(Device device) {
  return choose(
      device, [&] { return cpu::describe(device.index); }, [](int index) { return cuda::describe(index); });
}

MemoryUse memory_use(Device device) { return pool(device).use(); }

void set_fresh_memory(Device device, FreshMemory fresh) { pool(device).set_fresh_memory(fresh); }

void set_allocation_fault(Device device, AllocationFault refuses) { pool(device).set_allocation_fault(std::move(refuses)); }

Pinned::Pinned(Device device, void* data, int64_t bytes) : device_(device) {
  const bool pinned = choose(
      device, [] { return false; }, [&](int index) { return cuda::pin(index, data, bytes); });
  data_ = pinned ? data : nullptr;
}

Pinned::~Pinned() {
  if constexpr (kBuiltWithCuda) {
    if (data_ != nullptr && !is_cpu(device_)) {
      cuda::unpin(device_.index, data_);
    }
  }
}

Pinned::Pinned(Pinned&& other) noexcept : device_(other.device_), data_(std::exchange(other.data_, nullptr)) {}

Event::Event(Device device) : device_(device) {
  handle_ = choose(
      device, []() -> void* { return nullptr; }, [](int index) { return cuda::make_event(index); });
}

Event::~Event() {
  if constexpr (kBuiltWithCuda) {
    if (handle_ != nullptr) {
      cuda::drop_event(handle_);
    }
  }
}

void Event::record(StreamKind queue) {
  choose(
      device_, [] {}, [&](int index) { cuda::record_event(handle_, index, queue); });
}

void Event::stream_wait(StreamKind queue) const {
  choose(
      device_, [] {}, [&](int index) { cuda::stream_wait_event(handle_, index, queue); });
}

void Event::wait() const {
  choose(
      device_, [] {}, [&](int) { cuda::wait_for_event(handle_); });
}

bool Event::reached() const {
  return choose(
      device_, [] { return true; }, [&](int index) { return cuda::event_reached(handle_, index); });
}

Timestamp::Timestamp(Device device) : device_(device) {
  handle_ = choose(
      device, []() -> void* { return nullptr; }, [](int index) { return cuda::make_timestamp(index); });
}

Timestamp::~Timestamp() {
  if constexpr (kBuiltWithCuda) {
    if (handle_ != nullptr) {
      cuda::drop_event(handle_);
    }
  }
}

void Timestamp::record() {
  choose(
      device_, [&] { reading_ = std::chrono::steady_clock::now(); },
      [&](int index) { cuda::record_timestamp(handle_, index); });
}

double Timestamp::seconds_since(const Timestamp& start) const {
  return choose(
      device_, [&] { return std::chrono::duration<double>(reading_ - start.reading_).count(); },
      [&](int) { return cuda::seconds_between(start.handle_, handle_); });
}

bool can_capture(Device device) { return kBuiltWithCuda && !is_cpu(device); }

namespace {
thread_local bool captures = false;
}  // namespace

bool capturing() { return captures; }

Graph::Graph(Device device, const std::function<void()>& work) : device_(device) {
  if (!can_capture(device)) {
    fail("device {} cannot capture a graph: wanted a CUDA device", device.string());
  }
  if constexpr (kBuiltWithCuda) {
    MemoryPool& memory = pool(device);
    synchronize(device);
    memory.begin_capture();
    captures = true;
    try {
      cuda::begin_capture(device.index);
      work();
      handle_ = cuda::end_capture(device.index);
      captures = false;
    } catch (...) {
      captures = false;
      cuda::abandon_capture(device.index);
      memory.end_capture();
      memory.drop_capture();
      throw;
    }
    memory.end_capture();
  }
}

Graph::~Graph() {
  if constexpr (kBuiltWithCuda) {
    cuda::drop_graph(handle_);
    pool(device_).drop_capture();
  }
}

void Graph::launch() const {
  if constexpr (kBuiltWithCuda) {
    cuda::launch_graph(handle_, device_.index);
  }
}

std::string why_no_collectives(Device device) {
  return choose(
      device, []() -> std::string { return "only GPUs are connected by NCCL"; },
      [](int) { return cuda::why_no_collectives(); });
}

std::string collectives_id(Device device) {
  return choose(
      device, [&]() -> std::string { fail("{} has no collectives: {}", device.string(), why_no_collectives(device)); },
      [](int index) { return cuda::collectives_id(index); });
}

Collectives::Collectives(Device device, const std::string& id, int64_t rank, int64_t world, double limit) {
  handle_ = choose(
      device, [&]() -> void* { fail("{} has no collectives: {}", device.string(), why_no_collectives(device)); },
      [&](int index) { return cuda::make_collectives(index, id, rank, world, limit); });
}

Collectives::~Collectives() {
  if constexpr (kBuiltWithCuda) {
    cuda::drop_collectives(handle_);
  }
}

void Collectives::sum([[maybe_unused]] void* data, [[maybe_unused]] DType dtype, [[maybe_unused]] int64_t size) {
  if constexpr (kBuiltWithCuda) {
    cuda::sum_over_ranks(handle_, data, dtype, size);
  }
}

void Collectives::broadcast([[maybe_unused]] void* data, [[maybe_unused]] DType dtype, [[maybe_unused]] int64_t size) {
  if constexpr (kBuiltWithCuda) {
    cuda::broadcast_to_ranks(handle_, data, dtype, size);
  }
}

void Collectives::gather_rows([[maybe_unused]] void* data, [[maybe_unused]] DType dtype, [[maybe_unused]] int64_t row_size) {
  if constexpr (kBuiltWithCuda) {
    cuda::gather_rows_of_ranks(handle_, data, dtype, row_size);
  }
}

std::string Collectives::failure() const {
  if constexpr (kBuiltWithCuda) {
    return cuda::collectives_failure(handle_);
  } else {
    return "";
  }
}

void Collectives::abort() noexcept {
  if constexpr (kBuiltWithCuda) {
    cuda::abort_collectives(handle_);
  }
}

}  // namespace residua::device_api
