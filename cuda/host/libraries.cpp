// The CPU device runs the contracts for which a GPU uses cuDNN and cuBLASLt.
#include "core/kernels/composed_convolution.h"
#include "core/kernels/matmul.h"
#include "cuda/host/queue.h"

namespace residua::cuda {
namespace {

template <class Args>
void run_on_cpu(const Args& args, Stream& stream) {
  host_cuda::queue(stream).enqueue([args] { run(args, cpu::current_stream(Device{})); });
}

/// A fused convolution is composed of several kernels; all but the plain convolution come from cuda/kernels.
template <class Args>
void run_convolution(const Args& args, Stream& stream) {
  args.fused() ? run_composed(args, stream) : run_on_cpu(args, stream);
}

}  // namespace

void run(const ConvolutionForward& args, Stream& stream) { run_convolution(args, stream); }
void run(const ConvolutionBackwardData& args, Stream& stream) { run_convolution(args, stream); }
void run(const ConvolutionBackwardWeights& args, Stream& stream) { run_convolution(args, stream); }
void run(const Matmul& args, Stream& stream) { run_on_cpu(args, stream); }
void run(const ActivationPlacement& args, Stream&) { *args.inside = args.dtype == DType::f16; }  // so that tests see both

}  // namespace residua::cuda
