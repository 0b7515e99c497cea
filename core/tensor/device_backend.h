#pragma once

#include <cstdint>
#include <string>

#include "core/tensor/device_api.h"

/// The raw calls that a device answers; core/tensor/device_api.cpp makes its pools, events and graphs of them. `device` is the
/// index among the devices of its type.
namespace residua {

namespace cpu {
/// Memory aligned to 64 (large blocks to huge pages); null where there is none.
void* take(int device, int64_t bytes) noexcept;
void give_back(int device, void* data) noexcept;
/// In the order of the compute queue.
void set_bytes(int device, void* data, unsigned char value, int64_t bytes);
void copy(Device to, void* destination, Device from, const void* source, int64_t bytes, device_api::Queue queue);
void synchronize(int device);
bool native(int device, DType dtype);
device_api::DeviceDescription describe(int device);
}  // namespace cpu

namespace cuda {
int device_count();
/// "no NVIDIA driver is loaded", where there is none.
std::string why_no_device();
void* take(int device, int64_t bytes) noexcept;
void give_back(int device, void* data) noexcept;
void set_bytes(int device, void* data, unsigned char value, int64_t bytes);
void copy(Device to, void* destination, Device from, const void* source, int64_t bytes, device_api::Queue queue);
void synchronize(int device);
bool native(int device, DType dtype);

/// "NVIDIA H100, 12 of 80 GiB free", for the error of a failed `take`.
const char* describe_memory(int device);
void set_plan_options(int device, const device_api::PlanOptions& options);
void save_plans(int device);
std::vector<device_api::PlanChoice> plan_choices(int device);
device_api::DeviceDescription describe(int device);

/// False where the system refuses.
bool pin(int device, void* data, int64_t bytes);
void unpin(int device, void* data) noexcept;

void* make_event(int device);
void drop_event(void* event) noexcept;
void record_event(void* event, int device, device_api::Queue queue);
void hold_for_event(void* event, int device, device_api::Queue queue);
void wait_for_event(void* event);

/// An event that also keeps the time; recorded on the compute queue, dropped as any other.
void* make_timestamp(int device);
void record_timestamp(void* timestamp, int device);
double seconds_between(void* start, void* end);

void begin_capture(int device);
/// The graph of what was queued since begin_capture.
void* end_capture(int device);
/// Leaves a capture that failed.
void abandon_capture(int device) noexcept;
void launch_graph(void* graph, int device);
void drop_graph(void* graph) noexcept;
}  // namespace cuda

}  // namespace residua
