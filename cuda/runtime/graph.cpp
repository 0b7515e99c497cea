#include "core/base/error.h"
#include "core/base/warning.h"
#include "core/device/device_backend.h"
#include "cuda/runtime/context.h"
#include "cuda/runtime/error.h"

namespace residua::cuda {

// Relaxed mode: loading kernels and allocating memory stay allowed during a capture.
void begin_capture(int device) {
  RESIDUA_CUDA_CHECK(cudaStreamBeginCapture(native(context(device).compute()), cudaStreamCaptureModeRelaxed));
}

void* end_capture(int device) {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  RESIDUA_CUDA_CHECK(cudaStreamEndCapture(native(context(device).compute()), &graph));
  const cudaError_t status = cudaGraphInstantiate(&executable, graph, 0);
  RESIDUA_CUDA_CHECK(cudaGraphDestroy(graph));
  check(status, "cudaGraphInstantiate", __FILE__, __LINE__);
  RESIDUA_CUDA_CHECK(cudaGraphUpload(executable, native(context(device).compute())));
  return executable;
}

void abandon_capture(int device) noexcept {
  try {
    const cudaStream_t stream = native(context(device).compute());
    cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
    RESIDUA_CUDA_CHECK(cudaStreamIsCapturing(stream, &capturing));
    if (capturing != cudaStreamCaptureStatusNone) {
      cudaGraph_t graph = nullptr;
      static_cast<void>(cudaStreamEndCapture(stream, &graph));  // fails if the capture was invalidated, but still ends it
      if (graph != nullptr) {
        RESIDUA_CUDA_CHECK(cudaGraphDestroy(graph));
      }
      static_cast<void>(cudaGetLastError());
    }
  } catch (const Error& error) {
    warn("{}", error.what());
  }
}

void launch_graph(void* graph, int device) {
  RESIDUA_CUDA_CHECK(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), native(context(device).compute())));
}

void drop_graph(void* graph) noexcept {
  if (const cudaError_t status = cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph)); status != cudaSuccess) {
    warn("cudaGraphExecDestroy failed: {}", cudaGetErrorString(status));
  }
}

}  // namespace residua::cuda
