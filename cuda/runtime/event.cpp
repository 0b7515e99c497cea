#include "core/base/error.h"
#include "core/base/warning.h"
#include "core/device/device_backend.h"
#include "cuda/runtime/context.h"
#include "cuda/runtime/error.h"

namespace residua::cuda {

using device_api::StreamKind;

namespace {

cudaEvent_t cast(void* event) { return static_cast<cudaEvent_t>(event); }

cudaStream_t stream_of(int device, StreamKind queue) { return native(context(device).stream(queue)); }

}  // namespace

void* make_event(int device) {
  context(device);
  cudaEvent_t event = nullptr;
  RESIDUA_CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming | cudaEventBlockingSync));
  return event;
}

void drop_event(void* event) noexcept {
  if (const cudaError_t status = cudaEventDestroy(cast(event)); status != cudaSuccess) {
    warn("cudaEventDestroy failed: {}", cudaGetErrorString(status));
  }
}

void record_event(void* event, int device, StreamKind queue) {
  RESIDUA_CUDA_CHECK(cudaEventRecord(cast(event), stream_of(device, queue)));
}

void stream_wait_event(void* event, int device, StreamKind queue) {
  RESIDUA_CUDA_CHECK(cudaStreamWaitEvent(stream_of(device, queue), cast(event)));
}

void* make_timestamp(int device) {
  context(device);
  cudaEvent_t event = nullptr;
  RESIDUA_CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventBlockingSync));
  return event;
}

void record_timestamp(void* timestamp, int device) { record_event(timestamp, device, StreamKind::compute); }

double seconds_between(void* start, void* end) {
  float milliseconds = 0;
  RESIDUA_CUDA_CHECK(cudaEventSynchronize(cast(end)));
  RESIDUA_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, cast(start), cast(end)));
  return 1e-3 * static_cast<double>(milliseconds);
}

bool event_reached(void* event, int device) {
  context(device);
  const cudaError_t status = cudaEventQuery(cast(event));
  if (status == cudaErrorNotReady) {
    static_cast<void>(cudaGetLastError());  // otherwise the next launch would report it
    return false;
  }
  check(status, "cudaEventQuery", __FILE__, __LINE__);
  return true;
}

void wait_for_event(void* event) { RESIDUA_CUDA_CHECK(cudaEventSynchronize(cast(event))); }

}  // namespace residua::cuda
