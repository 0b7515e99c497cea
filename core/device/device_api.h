#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/dtype.h"
#include "core/device/device.h"

namespace residua {

namespace cpu {
class Stream;
/// The calling thread's stream of the CPU device: work runs at once, in order.
Stream& current_stream(Device device);
}  // namespace cpu

namespace cuda {
class Stream;
/// The stream that kernels of a CUDA device are queued on: one for each device.
Stream& current_stream(Device device);
}  // namespace cuda

/// The seam between tensors and devices: everything that core asks of a device besides `run(device, args)`.
namespace device_api {

/// Number of CUDA devices that can be used: 0 in a build without CUDA and where the driver finds none.
int cuda_device_count();
/// Why there are none, in a build with CUDA.
std::string why_no_cuda_device();

/// At least `bytes` bytes, aligned to 64, uninitialized, from the device's pool. Fails with what was wanted and what is in use.
void* allocate(Device device, int64_t bytes);
/// Gives memory back to the pool; work already queued on it stays valid.
void free(Device device, void* data) noexcept;

/// A device's two queues: kernels run on `compute`, uploads that are to overlap with them on `copy`.
enum class StreamKind : uint8_t { compute, copy };

/// Copies `bytes` bytes between or within devices, in the order of the queue. Host memory may be written or freed again as soon
/// as this returns, except with a source that is pinned: that must stay as it is until the queue has got there. A copy to the
/// host waits.
void copy(Device to, void* destination, Device from, const void* source, int64_t bytes, StreamKind queue = StreamKind::compute);
/// Waits until all queued work of the device has ended.
void synchronize(Device device);

/// Which plans of the vendor's libraries a CUDA device may choose besides those that compute the same bits each time and are
/// ready compiled.
struct PlanOptions {
  bool nondeterministic = false;     // results may differ in their last bits from run to run
  bool runtime_compilation = false;  // cuDNN compiles them first; some add with atomics, so that results may differ too

  friend bool operator==(const PlanOptions&, const PlanOptions&) = default;
};
/// For all plans that the device chooses from now on. Fails where it has chosen some by other options. Does nothing on a device
/// that does not time its plans.
void set_plan_options(Device device, const PlanOptions& options);
/// Ends a pass of autotuning: writes the choices since the last call to the cache that later processes read. Cheap where there
/// are none. A process that ends by itself does it at its end.
void save_plans(Device device);

/// How a device came to run one convolution or matrix product.
struct PlanChoice {
  std::string work;                                          // "forward f16 256x56x56x64 to 64, 3x3, stride 1, padding 1"
  std::string chosen;                                        // its plan
  std::vector<std::pair<std::string, double>> milliseconds;  // of each plan that could be used
  std::string rejection_reason;                              // why another could not; empty: each could
};
/// The choices of this process so far, in their order; none on a device that does not time its plans.
std::vector<PlanChoice> plan_choices(Device device);

/// Whether the device has instructions for convolutions in this type; where it has none they run in f32 on converted copies.
bool native(Device device, DType dtype);

/// What benchmarks say of where they ran.
struct DeviceDescription {
  std::string name;               // "NVIDIA H100 80GB HBM3", or the processor's
  std::string software;           // "CUDA runtime 13.0, driver for 13.1"; empty for the CPU device
  int64_t cache_bytes = 0;        // of the last cache before memory; 0 where unknown
  std::string instructions = {};  // that the CPU device uses: "avx512bf16", "avx512bf16 and AMX"
};
DeviceDescription describe(Device device);

struct MemoryUse {
  int64_t live_bytes = 0;  // handed out now
  int64_t peak_bytes = 0;  // most ever handed out at once
  int64_t held_bytes = 0;  // taken from the system: handed out and cached
  int64_t overruns = 0;    // poisoned blocks that had been written past their end when they came back
};
MemoryUse memory_use(Device device);

/// For tests. Poisoned memory is handed out full of 0xff bytes, a NaN in every floating type, with 64 more behind it that must
/// still be there when it comes back.
enum class FreshMemory : uint8_t { as_found, poisoned };
void set_fresh_memory(Device device, FreshMemory fresh);

/// Memory for the time of one call.
class Workspace {
 public:
  Workspace(Device device, int64_t bytes) : device_(device), data_(allocate(device, bytes)) {}
  ~Workspace() { device_api::free(device_, data_); }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  void* data() const { return data_; }

 private:
  Device device_;
  void* data_;
};

/// Host memory that a CUDA device may read on its own while it lives: uploads from it do not hold up the caller. Does nothing
/// for the CPU device, and where the system refuses.
class Pinned {
 public:
  Pinned(Device device, void* data, int64_t bytes);
  ~Pinned();
  Pinned(Pinned&& other) noexcept;
  Pinned& operator=(Pinned&&) = delete;

 private:
  Device device_;
  void* data_;
};

/// A point in the work of a device's queue. On the CPU device it has always been reached.
class Event {
 public:
  explicit Event(Device device);
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  /// Moves the event behind all work queued so far.
  void record(StreamKind queue);
  /// Work queued from now on does not begin before the event.
  void stream_wait(StreamKind queue) const;
  /// Waits on the host.
  void wait() const;

 private:
  Device device_;
  void* handle_ = nullptr;
};

/// A reading of a device's own clock at a point in the work of its compute queue.
class Timestamp {
 public:
  explicit Timestamp(Device device);
  ~Timestamp();
  Timestamp(const Timestamp&) = delete;
  Timestamp& operator=(const Timestamp&) = delete;

  /// Reads the clock when all work queued so far has ended.
  void record();
  /// Seconds between two recorded readings of one device; waits for them.
  double seconds_since(const Timestamp& start) const;

 private:
  Device device_;
  void* handle_ = nullptr;
  std::chrono::steady_clock::time_point reading_;  // of the CPU device
};

/// Whether work of this device can be captured in a Graph.
bool can_capture(Device device);

/// The kernels that a function queues, recorded once to be launched many times as one. Arguments are frozen: what changes
/// between launches must lie in device memory. Memory that the function allocates is kept for the graphs of that device, which
/// share it: their launches must not overlap, and what a launch computed must be read before the next one of any of them.
class Graph {
 public:
  /// Captures `work`, which must not wait for the device. Nothing runs. Fails where the device cannot capture.
  Graph(Device device, const std::function<void()>& work);
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  void launch() const;

 private:
  Device device_;
  void* handle_ = nullptr;
};

}  // namespace device_api
}  // namespace residua
