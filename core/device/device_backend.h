#pragma once

#include <cstdint>
#include <string>

#include "core/base/host_memory.h"
#include "core/device/device_api.h"

/// The low-level calls that each device implements. core/device/device_api.cpp builds pools, events and graphs on them.
/// `device` is the index among the devices of the same type.
namespace residua {

namespace cpu {
/// Memory aligned to 64 bytes (to huge pages if large); null if there is none left. Large blocks are refused that the system
/// would promise, but could not give.
void* allocate(int device, int64_t bytes) noexcept;
void deallocate(int device, void* data, int64_t bytes) noexcept;
/// Fills memory, in the order of the compute stream.
void set_bytes(int device, void* data, unsigned char value, int64_t bytes);
void copy(Device to, void* destination, Device from, const void* source, int64_t bytes, device_api::StreamKind queue);
void synchronize(int device);
bool native(int device, DType dtype);
device_api::DeviceDescription describe(int device);
/// The host's memory; free is what allocate() may take.
MemorySpace memory_space(int device) noexcept;
}  // namespace cpu

namespace cuda {
int device_count();
/// The reason if there is no device: "no NVIDIA driver is loaded".
std::string why_no_device();
void* allocate(int device, int64_t bytes) noexcept;
void deallocate(int device, void* data, int64_t bytes) noexcept;
void set_bytes(int device, void* data, unsigned char value, int64_t bytes);
void copy(Device to, void* destination, Device from, const void* source, int64_t bytes, device_api::StreamKind queue);
void synchronize(int device);
bool native(int device, DType dtype);

/// For the error message of a failed `allocate`; `used_bytes` is 0. Text in it lives as long as the process.
MemorySpace memory_space(int device);
void set_plan_options(int device, const device_api::PlanOptions& options);
void save_plans(int device);
std::vector<device_api::PlanChoice> plan_choices(int device);
device_api::DeviceDescription describe(int device);

/// Returns false if the system refuses.
bool pin(int device, void* data, int64_t bytes);
void unpin(int device, void* data) noexcept;

void* make_event(int device);
void drop_event(void* event) noexcept;
void record_event(void* event, int device, device_api::StreamKind queue);
void stream_wait_event(void* event, int device, device_api::StreamKind queue);
void wait_for_event(void* event);
bool event_reached(void* event, int device);

/// An event that also stores the time. It is recorded on the compute stream and dropped like any other event.
void* make_timestamp(int device);
void record_timestamp(void* timestamp, int device);
double seconds_between(void* start, void* end);

void begin_capture(int device);
/// Returns the graph of the work queued since begin_capture().
void* end_capture(int device);
/// Ends a capture that failed.
void abandon_capture(int device) noexcept;
void launch_graph(void* graph, int device);
void drop_graph(void* graph) noexcept;

/// See device_api::Collectives.
std::string why_no_collectives();
std::string collectives_id(int device);
void* make_collectives(int device, const std::string& id, int64_t rank, int64_t world, double limit);
void drop_collectives(void* collectives) noexcept;
void sum_over_ranks(void* collectives, void* data, DType dtype, int64_t size);
void broadcast_to_ranks(void* collectives, void* data, DType dtype, int64_t size);
void gather_rows_of_ranks(void* collectives, void* data, DType dtype, int64_t row_size);
std::string collectives_failure(void* collectives);
void abort_collectives(void* collectives) noexcept;
}  // namespace cuda

}  // namespace residua
