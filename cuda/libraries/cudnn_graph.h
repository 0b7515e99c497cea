#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/device/device_api.h"
#include "core/kernels/convolution.h"

struct cudnnContext;

namespace residua::cuda {

/// A pass of a convolution and what is fused into it. `activated`: reads relu(scale * x + bias). `statistics`: also computes
/// the sums and the sums of squares of y. `sums`: ConvolutionBackwardData with GradientSums. cuDNN has no activated forward
/// pass without statistics, so they are discarded if not wanted.
enum class ConvolutionForm : uint8_t {
  forward,
  forward_statistics,
  activated_forward_statistics,
  backward_data,
  backward_data_sums,
  backward_weights,
  activated_backward_weights,
};
inline constexpr int kConvolutionForms = 7;
std::string_view name(ConvolutionForm form);

/// The properties that a plan depends on.
struct ConvolutionKey {
  ConvolutionForm form;
  DType dtype;
  ConvolutionShape shape;
  /// True if the call does not use an optional part of the form: the statistics of an activated forward pass, or the mask of
  /// sums. cuDNN's plans are the same, but the composition that they compete with is not.
  bool without = false;

  /// "forward f16 256x56x56x64 to 64, 3x3, stride 1, padding 1".
  std::string string() const;
};
bool operator<(const ConvolutionKey& a, const ConvolutionKey& b);

ConvolutionKey key_of(const ConvolutionForward& args);
ConvolutionKey key_of(const ConvolutionBackwardData& args);
ConvolutionKey key_of(const ConvolutionBackwardWeights& args);

/// The tensors of the forms. Per-channel tensors are fp32, except `scale` and `bias`, which have the type of x.
enum class Role : uint8_t {
  x,  // the convolution's input; for `sums`, the batch normalization's input
  w,
  y,
  scale,
  bias,
  sum,
  sum_of_squares,
  dx,
  dy,
  dw,
  gamma,
  beta,
  mean,
  rstd,
  sum_g,
  sum_g_xhat,
  unused_0,  // outputs of cuDNN's operation that are not needed here, fp32 [C] each
  unused_1,
  unused_2,
};
using BoundTensors = std::vector<std::pair<Role, const void*>>;

/// The device that graphs are built for: that of a cuDNN handle, or one that is only described. For the latter, plans can be
/// built but not run.
class CudnnDevice {
 public:
  explicit CudnnDevice(cudnnContext* handle) : handle_(handle) {}
  /// `properties` is the serialized DeviceProperties text of cudnn-frontend. Needs neither a GPU nor a driver.
  static CudnnDevice described_by(std::string_view properties);

 private:
  friend class ConvolutionGraph;
  explicit CudnnDevice(std::shared_ptr<const void> properties, int sm) : properties_(std::move(properties)), sm_(sm) {}

  cudnnContext* handle_ = nullptr;
  std::shared_ptr<const void> properties_;
  int sm_ = 0;
};

/// cuDNN's graph for a form and its execution plans, in cuDNN's order of preference. fp32 stays fp32 (no TF32), and sums are
/// fp32. This is the only user of cudnn_frontend.h, which takes 20 s to compile.
class ConvolutionGraph {
 public:
  ConvolutionGraph(const ConvolutionKey& key, const CudnnDevice& device, const device_api::PlanOptions& options);
  ~ConvolutionGraph();
  ConvolutionGraph(const ConvolutionGraph&) = delete;
  ConvolutionGraph& operator=(const ConvolutionGraph&) = delete;

  /// Names of the plans, at least one of which can be built. Empty if cuDNN does not support the form.
  const std::vector<std::string>& plans() const { return names_; }
  /// cuDNN's reason if there are no plans.
  const std::string& rejection_reason() const { return rejection_reason_; }

  /// Prepares plan `i` to run. Throws Error with cuDNN's reason if the plan cannot be built, has another precision, is
  /// nondeterministic (unless the options allow it), or needs more than 1 GiB of workspace.
  void build(size_t i);
  int64_t workspace_bytes(size_t i) const;
  /// Queues a built plan on the handle's stream. `tensors` must have every tensor of the form.
  void execute(size_t i, cudnnContext* handle, const BoundTensors& tensors, void* workspace) const;

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
  std::vector<std::string> names_;
  std::string rejection_reason_;
  std::string description_;
};

}  // namespace residua::cuda
