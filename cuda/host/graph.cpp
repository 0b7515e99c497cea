// Graphs of the host CUDA device.
#include <memory>
#include <utility>

#include "core/device/device_backend.h"
#include "cuda/host/queue.h"

namespace residua::cuda {

using device_api::StreamKind;
using host_cuda::queue_of;

namespace {

using CapturedGraph = std::shared_ptr<host_cuda::Capture>;

/// Ends the capture on all streams.
CapturedGraph take_capture(int device) {
  CapturedGraph capture = queue_of(device, StreamKind::compute).capture();
  for (const StreamKind kind : {StreamKind::compute, StreamKind::copy, StreamKind::communication}) {
    queue_of(device, kind).set_capture(nullptr);
  }
  return capture;
}

}  // namespace

void begin_capture(int device) { queue_of(device, StreamKind::compute).set_capture(std::make_shared<host_cuda::Capture>()); }

void* end_capture(int device) {
  CapturedGraph capture = take_capture(device);
  capture->check_joined();
  return new CapturedGraph(std::move(capture));
}

void abandon_capture(int device) noexcept { take_capture(device); }

void launch_graph(void* graph, int device) {
  // As with CUDA, the queue keeps what it needs: the graph may be dropped before its work has run.
  queue_of(device, StreamKind::compute).enqueue([work = *static_cast<CapturedGraph*>(graph)] {
    host_cuda::laziness() == host_cuda::Laziness::eager ? work->run_eagerly() : work->run_lazily();
  });
}

void drop_graph(void* graph) noexcept { delete static_cast<CapturedGraph*>(graph); }

}  // namespace residua::cuda
