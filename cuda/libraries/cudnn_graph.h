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

/// A pass of a convolution with what is fused into it: `activated` reads relu(scale * x + bias), `statistics` also gives the
/// sums and the sums of squares of y, `sums` is ConvolutionBackwardData with GradientSums. cuDNN has no activated forward pass
/// without statistics: they are thrown away where they are not wanted.
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

/// What a plan depends on.
struct ConvolutionKey {
  ConvolutionForm form;
  DType dtype;
  ConvolutionShape shape;
  /// Of calls without what the form can have: statistics of an activated forward pass, the mask of sums. The plans are the
  /// same, but the composition that they compete with is not.
  bool without = false;

  /// "forward f16 256x56x56x64 to 64, 3x3, stride 1, padding 1"
  std::string string() const;
};
bool operator<(const ConvolutionKey& a, const ConvolutionKey& b);

ConvolutionKey key_of(const ConvolutionForward& args);
ConvolutionKey key_of(const ConvolutionBackwardData& args);
ConvolutionKey key_of(const ConvolutionBackwardWeights& args);

/// The tensors of the forms. Those of a channel each are fp32, but `scale` and `bias`, which have the type of x.
enum class Role : uint8_t {
  x,  // what the convolution reads; for `sums` what the batch normalization read
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
  unused_0,  // outputs of cuDNN's operation that have no use here, fp32 [C] each
  unused_1,
  unused_2,
};
using BoundTensors = std::vector<std::pair<Role, const void*>>;

/// The device that graphs are made for: the one of a cuDNN handle, or one that is only described, for which plans can be built
/// but not run.
class CudnnDevice {
 public:
  explicit CudnnDevice(cudnnContext* handle) : handle_(handle) {}
  /// `properties` is the text of cudnn-frontend's serialized DeviceProperties. Needs neither a GPU nor a driver.
  static CudnnDevice described_by(std::string_view properties);

 private:
  friend class ConvolutionGraph;
  explicit CudnnDevice(std::shared_ptr<const void> properties, int sm) : properties_(std::move(properties)), sm_(sm) {}

  cudnnContext* handle_ = nullptr;
  std::shared_ptr<const void> properties_;
  int sm_ = 0;
};

/// cuDNN's graph of a form and the execution plans it has for it, best guess first. fp32 stays fp32 (no TF32) and sums are
/// fp32. The only user of cudnn_frontend.h, which takes 20 s to compile.
class ConvolutionGraph {
 public:
  ConvolutionGraph(const ConvolutionKey& key, const CudnnDevice& device, const device_api::PlanOptions& options);
  ~ConvolutionGraph();
  ConvolutionGraph(const ConvolutionGraph&) = delete;
  ConvolutionGraph& operator=(const ConvolutionGraph&) = delete;

  /// Names of the plans, of which at least one can be built; none where cuDNN does not have the form.
  const std::vector<std::string>& plans() const { return names_; }
  /// cuDNN's reason for there being none.
  const std::string& rejection_reason() const { return rejection_reason_; }

  /// Makes plan `i` ready to run. Fails with cuDNN's reason where it cannot be built, is of another precision or not
  /// deterministic (unless the options allow that), or wants more than 1 GiB of workspace.
  void build(size_t i);
  int64_t workspace_bytes(size_t i) const;
  /// Queues a built plan on the handle's stream; `tensors` has each tensor of the form.
  void execute(size_t i, cudnnContext* handle, const BoundTensors& tensors, void* workspace) const;

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
  std::vector<std::string> names_;
  std::string rejection_reason_;
  std::string description_;
};

}  // namespace residua::cuda
