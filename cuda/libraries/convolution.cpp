// Convolution with cuDNN. A fused form of cuDNN's is timed against its composition of plain kernels, and the faster one is
// used.
#include "cuda/libraries/convolution.h"

#include <type_traits>

#include "core/kernels/cast.h"
#include "core/kernels/composed_convolution.h"
#include "cuda/kernels/batch_norm_from_sums.h"
#include "cuda/kernels/batch_norm_scale_bias.h"
#include "cuda/libraries/library_device.h"
#include "cuda/libraries/space_to_depth.h"

namespace residua::cuda {
namespace {

using device_api::Workspace;

/// Contiguous per-channel vectors for one call, each aligned to 256 bytes.
class ChannelVectors {
 public:
  ChannelVectors(const Stream& stream, int count, int64_t channels)
      : stride_((channels * int64_t{sizeof(float)} + 255) / 256 * 256), memory_(stream.device(), count * stride_) {}
  float* at(int i) const { return reinterpret_cast<float*>(static_cast<unsigned char*>(memory_.data()) + i * stride_); }

 private:
  int64_t stride_;
  Workspace memory_;
};

void execute(const ConvolutionGraph& graph, size_t plan, const BoundTensors& tensors, Stream& stream) {
  const Workspace workspace(stream.device(), workspace_size(graph.workspace_bytes(plan)));
  graph.execute(plan, library_device(stream).cudnn(), tensors, workspace.data());
}

void bind_activation(BoundTensors& tensors, const InputActivation& activation, DType dtype, int64_t channels,
                     const ChannelVectors& line, Stream& stream) {
  run(BatchNormScaleBias{dtype, channels, activation.gamma, activation.beta, activation.mean, activation.rstd, line.at(0),
                         line.at(1)},
      stream);
  tensors.emplace_back(Role::scale, line.at(0));
  tensors.emplace_back(Role::bias, line.at(1));
}

// Run one of cuDNN's plans on the arguments of a contract.

void run_plan(const ConvolutionGraph& graph, size_t plan, const ConvolutionForward& args, Stream& stream) {
  const ConvolutionShape& s = args.shape;
  BoundTensors tensors{{Role::x, args.x}, {Role::w, args.w}, {Role::y, args.y}};
  if (!args.fused()) {
    execute(graph, plan, tensors, stream);
    return;
  }
  const ChannelVectors line(stream, 2, s.in_channels);
  const ChannelVectors sums(stream, 2, s.out_channels);
  if (args.activation.gamma != nullptr) {
    bind_activation(tensors, args.activation, args.dtype, s.in_channels, line, stream);
  }
  tensors.emplace_back(Role::sum, sums.at(0));
  tensors.emplace_back(Role::sum_of_squares, sums.at(1));
  execute(graph, plan, tensors, stream);
  if (const OutputStatistics& to = args.statistics; to.mean != nullptr) {
    run(BatchNormFromSums{s.batch * s.out_height() * s.out_width(), s.out_channels, sums.at(0), sums.at(1), to.epsilon, to.mean,
                          to.variance, to.rstd},
        stream);
  }
}

void run_plan(const ConvolutionGraph& graph, size_t plan, const ConvolutionBackwardData& args, Stream& stream) {
  BoundTensors tensors{{Role::dy, args.dy}, {Role::w, args.w}, {Role::dx, args.dx}};
  if (!args.fused()) {
    execute(graph, plan, tensors, stream);
    return;
  }
  const ChannelVectors unused(stream, 3, args.shape.in_channels);
  const GradientSums& sums = args.sums;
  tensors.insert(tensors.end(), {{Role::x, sums.x},
                                 {Role::gamma, sums.gamma},
                                 {Role::beta, sums.beta},
                                 {Role::mean, sums.mean},
                                 {Role::rstd, sums.rstd},
                                 {Role::sum_g, sums.sum_g},
                                 {Role::sum_g_xhat, sums.sum_g_xhat},
                                 {Role::unused_0, unused.at(0)},
                                 {Role::unused_1, unused.at(1)},
                                 {Role::unused_2, unused.at(2)}});
  execute(graph, plan, tensors, stream);
}

void run_plan(const ConvolutionGraph& graph, size_t plan, const ConvolutionBackwardWeights& args, Stream& stream) {
  BoundTensors tensors{{Role::x, args.x}, {Role::dy, args.dy}, {Role::dw, args.dw}};
  if (!args.fused()) {
    execute(graph, plan, tensors, stream);
    return;
  }
  const ChannelVectors line(stream, 2, args.shape.in_channels);
  bind_activation(tensors, args.activation, args.dtype, args.shape.in_channels, line, stream);
  execute(graph, plan, tensors, stream);
}

/// Adds cuDNN's plans for a convolution. Returns its reason if there are none.
template <class Args>
std::string add_plans(std::vector<Candidate<Args>>& all, const ConvolutionKey& key, const CudnnDevice& device,
                      const device_api::PlanOptions& options) {
  const auto graph = std::make_shared<ConvolutionGraph>(key, device, options);
  for (size_t i = 0; i < graph->plans().size(); ++i) {
    all.push_back({graph->plans()[i], [graph, i]() -> Plan<Args> {
                     graph->build(i);
                     return [graph, i](const Args& call, Stream& stream) { run_plan(*graph, i, call, stream); };
                   }});
  }
  return graph->rejection_reason();
}

template <class Args>
void add_space_to_depth(std::vector<Candidate<Args>>& all, const Args& args, const CudnnDevice& device,
                        const device_api::PlanOptions& options) {
  Args blocks = args;
  blocks.shape = space_to_depth(args.shape);
  std::vector<Candidate<Args>> plans;
  add_plans(plans, key_of(blocks), device, options);
  for (const Candidate<Args>& candidate : plans) {
    all.push_back({"space-to-depth, " + candidate.name, [build = candidate.build]() -> Plan<Args> {
                     return [plan = build()](const Args& call, Stream& stream) { run_space_to_depth(call, plan, stream); };
                   }});
  }
}

template <class Args>
std::vector<Candidate<Args>> candidates_of(const Args& args, const CudnnDevice& device,
                                           const device_api::PlanOptions& options) {
  std::vector<Candidate<Args>> all;
  const std::string reason = add_plans(all, key_of(args), device, options);
  if (all.empty()) {
    all.push_back({"cuDNN", [reason]() -> Plan<Args> { fail("{}", reason); }});
  }
  if (args.fused()) {
    all.push_back(
        {"composed", []() -> Plan<Args> { return [](const Args& call, Stream& stream) { run_composed(call, stream); }; }});
  }
  if constexpr (!std::is_same_v<Args, ConvolutionBackwardData>) {  // the network's input needs no gradient
    if (has_space_to_depth(args)) {
      add_space_to_depth(all, args, device, options);
    }
  }
  return all;
}

template <class Args>
void run_planned(PlanTable<ConvolutionKey, Args>& plans, const Args& args, Stream& stream) {
  LibraryDevice& device = library_device(stream);
  device.run(plans, key_of(args), args, stream,
             [&] { return candidates_of(args, CudnnDevice(device.cudnn()), device.plan_options()); });
}

}  // namespace

std::vector<Candidate<ConvolutionForward>> convolution_candidates(const ConvolutionForward& args, const CudnnDevice& device,
                                                                  const device_api::PlanOptions& options) {
  return candidates_of(args, device, options);
}
std::vector<Candidate<ConvolutionBackwardData>> convolution_candidates(const ConvolutionBackwardData& args,
                                                                       const CudnnDevice& device,
                                                                       const device_api::PlanOptions& options) {
  return candidates_of(args, device, options);
}
std::vector<Candidate<ConvolutionBackwardWeights>> convolution_candidates(const ConvolutionBackwardWeights& args,
                                                                          const CudnnDevice& device,
                                                                          const device_api::PlanOptions& options) {
  return candidates_of(args, device, options);
}

void run(const ConvolutionForward& args, Stream& stream) { run_planned(library_device(stream).forward, args, stream); }

void run(const ConvolutionBackwardData& args, Stream& stream) {
  run_planned(library_device(stream).backward_data, args, stream);
}

void run(const ConvolutionBackwardWeights& args, Stream& stream) {
  if (args.dw_dtype == args.dtype) {
    run_planned(library_device(stream).backward_weights, args, stream);
    return;
  }
  // cuDNN computes dw only in the type of x and dy.
  const ConvolutionShape& s = args.shape;
  const int64_t size = s.out_channels * s.kernel_height * s.kernel_width * s.in_channels;
  const Workspace dw(stream.device(), size * size_bytes(args.dtype));
  ConvolutionBackwardWeights same = args;
  same.dw_dtype = args.dtype;
  same.dw = dw.data();
  run(same, stream);
  run(Cast{args.dtype, args.dw_dtype, size, dw.data(), args.dw}, stream);
}

}  // namespace residua::cuda
