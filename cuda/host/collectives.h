#pragma once

#include <cstdint>

namespace residua::host_cuda {

/// From now on the host CUDA device has so many devices, cuda:0 and up: at least one. Each has queues of its own. One thread
/// uses each device.
void set_device_count(int count);

/// What goes wrong between ranks. Ranks are threads of one process; a rank that never makes a call needs no fault.
struct CollectiveFaults {
  int failing_rank = -1;    // this rank's connection reports an asynchronous error
  bool never_done = false;  // no collective ends but by an abort
};
/// The faults of all collectives from now on. Any thread may set them.
void set_collective_faults(const CollectiveFaults& faults);

/// Number of connections that exist. After a test it is 0.
int64_t connections();

}  // namespace residua::host_cuda
