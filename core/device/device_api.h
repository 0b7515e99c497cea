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
/// The calling thread's stream on the CPU device. Work runs immediately and in order.
Stream& current_stream(Device device);
}  // namespace cpu

namespace cuda {
class Stream;
/// The compute stream of a CUDA device. There is one per device.
Stream& current_stream(Device device);
}  // namespace cuda

/// The interface between tensors and devices: everything that core needs from a device except `run(device, args)`.
namespace device_api {

/// Number of usable CUDA devices: 0 if this build has no CUDA or the driver finds no device.
int cuda_device_count();
/// Why a build with CUDA finds no device.
std::string why_no_cuda_device();

/// Allocates at least `bytes` bytes from the device's pool: aligned to 64 bytes, uninitialized. Throws OutOfMemory that says
/// how much was wanted and how much is in use.
void* allocate(Device device, int64_t bytes);
/// Returns memory to the pool. Work that is already queued may still use it.
void free(Device device, void* data) noexcept;

/// The three streams of a device: kernels run on `compute`; uploads that should overlap with kernels run on `copy`, and
/// exchanges between ranks on `communication`.
enum class StreamKind : uint8_t { compute, copy, communication };
inline constexpr int kStreamKinds = 3;

/// Copies `bytes` bytes between or within devices, in stream order. The caller may change or free the host memory as soon as
/// this returns, except a pinned source: that must stay unchanged until the stream has passed the copy. A copy to the host
/// waits for its end.
void copy(Device to, void* destination, Device from, const void* source, int64_t bytes, StreamKind queue = StreamKind::compute);
/// Waits until all queued work of the device has ended.
void synchronize(Device device);

/// The cuDNN and cuBLASLt plans that a CUDA device may use, besides the deterministic and precompiled ones that it always may,
/// and how it chooses among them.
struct PlanOptions {
  bool nondeterministic = false;     // may change the last bits of results from run to run
  bool runtime_compilation = false;  // compiled by cuDNN at run time; some add with atomics, which may change results too
  bool by_rule = false;              // the first usable plan in the library's order; otherwise the fastest, found by timing

  friend bool operator==(const PlanOptions&, const PlanOptions&) = default;
};
/// Sets the options for all plans that the device chooses from now on. Throws Error if it has already chosen plans under other
/// options. Does nothing on a device that does not time plans.
void set_plan_options(Device device, const PlanOptions& options);
/// Ends an autotuning pass: writes the choices since the last call to the plan cache for later processes. Cheap if there are
/// none. A process that exits normally calls this on exit.
void save_plans(Device device);

/// Which plan a device chose for one convolution or matrix product, and why.
struct PlanChoice {
  std::string work;                                          // "forward f16 256x56x56x64 to 64, 3x3, stride 1, padding 1"
  std::string chosen;                                        // the chosen plan
  std::vector<std::pair<std::string, double>> milliseconds;  // for each usable plan
  std::string rejection_reason;                              // why another plan could not be used; empty if all could
};
/// The choices of this process so far, in order. Empty on a device that does not time plans.
std::vector<PlanChoice> plan_choices(Device device);

/// Whether the device has convolution instructions for this type. Without them, convolutions convert to f32 and run there.
bool native(Device device, DType dtype);

/// What benchmarks report about the machine they ran on.
struct DeviceDescription {
  std::string name;               // "NVIDIA H100 80GB HBM3", or the processor's name
  std::string software;           // "CUDA runtime 13.0, driver for 13.1"; empty for the CPU device
  int64_t cache_bytes = 0;        // size of the last-level cache; 0 if unknown
  std::string instructions = {};  // what the CPU device uses: "avx512bf16", "avx512bf16 and AMX"
};
DeviceDescription describe(Device device);

struct MemoryUse {
  int64_t live_bytes = 0;  // allocated now
  int64_t peak_bytes = 0;  // most ever allocated at once
  int64_t held_bytes = 0;  // taken from the system: allocated and cached
  int64_t overruns = 0;    // poisoned blocks that were found written past their end when freed
};
MemoryUse memory_use(Device device);

/// For tests. Poisoned memory is filled with 0xff bytes, which is NaN in every floating type. 64 more such bytes follow it;
/// they must be unchanged when the memory is freed.
enum class FreshMemory : uint8_t { as_found, poisoned };
void set_fresh_memory(Device device, FreshMemory fresh);

/// Memory that lives as long as one call.
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

/// Pins host memory while this object exists, so uploads from it to a CUDA device are asynchronous. Does nothing on the CPU
/// device, or if the system refuses.
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

/// A point in a device's stream. On the CPU device it has always been reached.
class Event {
 public:
  explicit Event(Device device);
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  /// Records the event after all work queued so far.
  void record(StreamKind queue);
  /// Work queued on this stream from now on waits for the event.
  void stream_wait(StreamKind queue) const;
  /// Waits for the event on the host.
  void wait() const;
  /// Whether the stream has passed the event. Any thread may ask, while this one captures a graph too.
  bool reached() const;

 private:
  Device device_;
  void* handle_ = nullptr;
};

/// A reading of the device's clock at a point in its compute stream.
class Timestamp {
 public:
  explicit Timestamp(Device device);
  ~Timestamp();
  Timestamp(const Timestamp&) = delete;
  Timestamp& operator=(const Timestamp&) = delete;

  /// Reads the clock when all work queued so far has ended.
  void record();
  /// Seconds between two readings on one device. Waits for both.
  double seconds_since(const Timestamp& start) const;

 private:
  Device device_;
  void* handle_ = nullptr;
  std::chrono::steady_clock::time_point reading_;  // for the CPU device
};

/// Whether this device's work can be captured in a Graph.
bool can_capture(Device device);
/// Whether the calling thread captures a graph now.
bool capturing();

/// The kernels that a function queues on the compute stream, captured once and launched many times as one. Arguments are
/// frozen, so values that change between launches must be in device memory. All graphs of a device share the memory that their
/// functions allocated. Their launches must therefore not overlap, and the results of a launch must be read before the next
/// launch of any of them.
///
/// Work on another stream becomes part of the graph if that stream waits for an event that `work` has recorded. Before `work`
/// ends, the compute stream must wait for all of it.
class Graph {
 public:
  /// Captures `work`, which must not wait for the device. Nothing runs. Throws Error if the device cannot capture.
  Graph(Device device, const std::function<void()>& work);
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  void launch() const;

 private:
  Device device_;
  void* handle_ = nullptr;
};

/// Why this device cannot exchange data with the devices of other processes; empty if it can.
std::string why_no_collectives(Device device);
/// Bytes by which the ranks that connect their devices find each other: one rank makes them and gives them to all.
std::string collectives_id(Device device);

/// A connection of this device to those of other ranks, by NCCL. All ranks make the same calls in the same order. A call queues
/// its work on the communication stream, and works in a Graph too. All calls throw Error, which names the call of the library.
class Collectives {
 public:
  /// Connects to all ranks. `limit` is how many seconds a call may take until all ranks have made it; 0: no limit.
  Collectives(Device device, const std::string& id, int64_t rank, int64_t world, double limit);
  /// Ends the connection. Work that is queued is done first, unless this is destroyed by an exception.
  ~Collectives();
  Collectives(const Collectives&) = delete;
  Collectives& operator=(const Collectives&) = delete;

  /// data[i] = the sum of data[i] over the ranks, for i < size.
  void sum(void* data, DType dtype, int64_t size);
  /// data[i] = data[i] of rank 0, for i < size.
  void broadcast(void* data, DType dtype, int64_t size);
  /// `data` has `row_size` elements for each rank. Each rank has set its own ones; sets the others.
  void gather_rows(void* data, DType dtype, int64_t row_size);

  /// What has failed in work that was queued before: "unhandled system error: connection closed by 10.0.0.2". Empty if nothing
  /// has. Any thread may ask.
  std::string failure() const;
  /// Ends all work without its result, also work that waits for other ranks. All later calls fail. Any thread may call it.
  void abort() noexcept;

 private:
  void* handle_;
};

}  // namespace device_api
}  // namespace residua
