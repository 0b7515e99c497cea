// The contracts that the vendor's libraries fulfil on a GPU, by the CPU device.
#include "core/kernels/composed_convolution.h"
#include "core/kernels/matmul.h"
#include "cuda/host/queue.h"

namespace residua::cuda {
namespace {

template <class Args>
void run_on_cpu(const Args& args, Stream& stream) {
  host_cuda::queue(stream).enqueue([args] { run(args, cpu::current_stream(Device{})); });
}

/// What is composed of several kernels has the others from cuda/kernels.
template <class Args>
void run_convolution(const Args& args, Stream& stream) {
  args.fused() ? run_composed(args, stream) : run_on_cpu(args, stream);
}

}  // namespace

void run(const ConvolutionForward& args, Stream& stream) { run_convolution(args, stream); }
void run(const ConvolutionBackwardData& args, Stream& stream) { run_convolution(args, stream); }
void run(const ConvolutionBackwardWeights& args, Stream& stream) { run_convolution(args, stream); }
void run(const Matmul& args, Stream& stream) { run_on_cpu(args, stream); }
void run(const ActivationPlacement& args, Stream&) { *args.inside = args.dtype == DType::f16; }  // so that there are both

}  // namespace residua::cuda
