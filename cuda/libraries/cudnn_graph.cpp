#include "cuda/libraries/cudnn_graph.h"

#include <cudnn_frontend.h>

#include <algorithm>
#include <tuple>
#include <unordered_map>

#include "core/base/error.h"

#if CUDNN_FRONTEND_VERSION >= 11800
#error \
    "cudnn-frontend 1.18 to 1.32 (the newest version checked) give cuDNN the wrong type for genstats' sums (a value of another \
enumeration: int8 for f16): use 1.17, as tools/setup --cuda does, or remove this check once node/genstats.h is fixed"
#endif

namespace residua::cuda {
namespace {

namespace fe = cudnn_frontend;
using fe::graph::Tensor_attributes;
using Tensor = std::shared_ptr<Tensor_attributes>;

constexpr int64_t kWorkspaceLimit = int64_t{1} << 30;

fe::DataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::f32: return fe::DataType_t::FLOAT;
    case DType::f16: return fe::DataType_t::HALF;
    case DType::bf16: return fe::DataType_t::BFLOAT16;
    default: fail("cuDNN has no convolution for element type {}", name(dtype));
  }
}

/// Builds the graph of a form. cuDNN orders dimensions N, C, H, W, whatever the strides.
class Builder {
 public:
  Builder(fe::graph::Graph& graph, const ConvolutionKey& key) : graph_(graph), key_(key), s_(key.shape) {}

  void build() {
    switch (key_.form) {
      case ConvolutionForm::forward:
      case ConvolutionForm::forward_statistics: forward(image(Role::x, s_.in_channels, s_.in_height, s_.in_width)); break;
      case ConvolutionForm::activated_forward_statistics: forward(activated_input()); break;
      case ConvolutionForm::backward_data:
      case ConvolutionForm::backward_data_sums: backward_data(); break;
      case ConvolutionForm::backward_weights:
        backward_weights(image(Role::x, s_.in_channels, s_.in_height, s_.in_width));
        break;
      case ConvolutionForm::activated_backward_weights: backward_weights(activated_input()); break;
    }
  }

 private:
  static int64_t uid(Role role) { return static_cast<int64_t>(role) + 1; }

  Tensor image(Role role, int64_t channels, int64_t height, int64_t width, int64_t batch) {
    return graph_.tensor(Tensor_attributes()
                             .set_uid(uid(role))
                             .set_dim({batch, channels, height, width})
                             .set_stride({channels * height * width, 1, channels * width, channels}));
  }
  Tensor image(Role role, int64_t channels, int64_t height, int64_t width) {
    return image(role, channels, height, width, s_.batch);
  }
  Tensor weights() { return image(Role::w, s_.in_channels, s_.kernel_height, s_.kernel_width, s_.out_channels); }
  Tensor gradient() { return image(Role::dy, s_.out_channels, s_.out_height(), s_.out_width()); }

  Tensor per_channel(Role role, DType dtype) {
    const int64_t c = s_.in_channels;
    return graph_.tensor(
        Tensor_attributes().set_uid(uid(role)).set_dim({1, c, 1, 1}).set_stride({c, 1, c, c}).set_data_type(type_of(dtype)));
  }

  void output(const Tensor& tensor, Role role, DType dtype) {
    tensor->set_output(true).set_uid(uid(role)).set_data_type(type_of(dtype));
  }

  Tensor pointwise(fe::PointwiseMode_t mode, const Tensor& a, const Tensor& b) {
    return graph_.pointwise(a, b, fe::graph::Pointwise_attributes().set_mode(mode));
  }

  /// The attributes that all three passes share.
  template <class Attributes>
  Attributes window() const {
    return Attributes().set_padding({s_.padding, s_.padding}).set_stride({s_.stride, s_.stride}).set_dilation({1, 1});
  }

  Tensor activated_input() {
    const Tensor x = image(Role::x, s_.in_channels, s_.in_height, s_.in_width);
    const Tensor scaled = pointwise(fe::PointwiseMode_t::MUL, x, per_channel(Role::scale, key_.dtype));
    const Tensor shifted = pointwise(fe::PointwiseMode_t::ADD, scaled, per_channel(Role::bias, key_.dtype));
    const Tensor activated =
        graph_.pointwise(shifted, fe::graph::Pointwise_attributes().set_mode(fe::PointwiseMode_t::RELU_FWD));
    activated->set_data_type(type_of(key_.dtype));
    return activated;
  }

  void forward(const Tensor& x) {
    const Tensor y = graph_.conv_fprop(x, weights(), window<fe::graph::Conv_fprop_attributes>());
    output(y, Role::y, key_.dtype);
    if (key_.form == ConvolutionForm::forward_statistics || key_.form == ConvolutionForm::activated_forward_statistics) {
      const auto [sum, sum_of_squares] = graph_.genstats(y, fe::graph::Genstats_attributes());
      output(sum, Role::sum, DType::f32);
      output(sum_of_squares, Role::sum_of_squares, DType::f32);
    }
  }

  void backward_data() {
    Tensor dx = graph_.conv_dgrad(gradient(), weights(), window<fe::graph::Conv_dgrad_attributes>());
    dx->set_dim({s_.batch, s_.in_channels, s_.in_height, s_.in_width});
    if (key_.form == ConvolutionForm::backward_data_sums) {
      const Tensor x = image(Role::x, s_.in_channels, s_.in_height, s_.in_width);
      const Tensor mean = per_channel(Role::mean, DType::f32);
      const Tensor rstd = per_channel(Role::rstd, DType::f32);
      const Tensor gamma = per_channel(Role::gamma, DType::f32);
      const Tensor centered = pointwise(fe::PointwiseMode_t::SUB, x, mean);
      const Tensor normalized = pointwise(fe::PointwiseMode_t::MUL, centered, rstd);
      const Tensor scaled = pointwise(fe::PointwiseMode_t::MUL, normalized, gamma);
      const Tensor y = pointwise(fe::PointwiseMode_t::ADD, scaled, per_channel(Role::beta, DType::f32));
      dx = pointwise(fe::PointwiseMode_t::RELU_BWD, dx, y);
      const auto sums = graph_.dbn_weight(dx, x, mean, rstd, gamma, fe::graph::DBN_weight_attributes());
      constexpr Role roles[] = {Role::sum_g_xhat, Role::sum_g, Role::unused_0, Role::unused_1, Role::unused_2};
      for (size_t i = 0; i < sums.size(); ++i) {
        output(sums[i], roles[i], DType::f32);
      }
    }
    output(dx, Role::dx, key_.dtype);
  }

  void backward_weights(const Tensor& x) {
    const Tensor dw = graph_.conv_wgrad(gradient(), x, window<fe::graph::Conv_wgrad_attributes>());
    dw->set_dim({s_.out_channels, s_.in_channels, s_.kernel_height, s_.kernel_width});
    output(dw, Role::dw, key_.dtype);
  }

  fe::graph::Graph& graph_;
  const ConvolutionKey& key_;
  const ConvolutionShape& s_;
};

auto values(const ConvolutionKey& k) {
  const ConvolutionShape& s = k.shape;
  return std::tuple(k.form, k.dtype, s.batch, s.in_height, s.in_width, s.in_channels, s.out_channels, s.kernel_height,
                    s.kernel_width, s.stride, s.padding, k.without);
}

}  // namespace

std::string_view name(ConvolutionForm form) {
  switch (form) {
    case ConvolutionForm::forward: return "forward";
    case ConvolutionForm::forward_statistics: return "forward+statistics";
    case ConvolutionForm::activated_forward_statistics: return "activation+forward+statistics";
    case ConvolutionForm::backward_data: return "backward-data";
    case ConvolutionForm::backward_data_sums: return "backward-data+sums";
    case ConvolutionForm::backward_weights: return "backward-weights";
    case ConvolutionForm::activated_backward_weights: return "activation+backward-weights";
  }
  return "?";
}

std::string ConvolutionKey::string() const {
  const char* missing = !without ? "" : form == ConvolutionForm::backward_data_sums ? " without mask" : " left unused";
  return fmt::format("{}{} {} {}x{}x{}x{} to {}, {}x{}, stride {}, padding {}", name(form), missing, residua::name(dtype),
                     shape.batch, shape.in_height, shape.in_width, shape.in_channels, shape.out_channels, shape.kernel_height,
                     shape.kernel_width, shape.stride, shape.padding);
}

bool operator<(const ConvolutionKey& a, const ConvolutionKey& b) { return values(a) < values(b); }

ConvolutionKey key_of(const ConvolutionForward& args) {
  const ConvolutionForm form = args.activation.gamma != nullptr  ? ConvolutionForm::activated_forward_statistics
                               : args.statistics.mean != nullptr ? ConvolutionForm::forward_statistics
                                                                 : ConvolutionForm::forward;
  return {form, args.dtype, args.shape,
          form == ConvolutionForm::activated_forward_statistics && args.statistics.mean == nullptr};
}

ConvolutionKey key_of(const ConvolutionBackwardData& args) {
  return {args.fused() ? ConvolutionForm::backward_data_sums : ConvolutionForm::backward_data, args.dtype, args.shape,
          args.fused() && args.sums.mask == nullptr};
}

ConvolutionKey key_of(const ConvolutionBackwardWeights& args) {
  return {args.fused() ? ConvolutionForm::activated_backward_weights : ConvolutionForm::backward_weights, args.dtype,
          args.shape};
}

CudnnDevice CudnnDevice::described_by(std::string_view text) {
  const auto properties = std::make_shared<fe::DeviceProperties>();
  if (fe::error_t error = properties->deserialize(std::vector<uint8_t>(text.begin(), text.end())); error.is_bad()) {
    fail("cuDNN does not accept the device properties: {}", error.get_message());
  }
  const nlohmann::json parsed = nlohmann::json::parse(text);
  return CudnnDevice(properties, parsed.at("deviceVer").get<int>() / 10);
}

struct ConvolutionGraph::Implementation {
  fe::graph::Graph graph;
  std::vector<int64_t> indices;  // indices of the plans in cuDNN's list
};

ConvolutionGraph::ConvolutionGraph(const ConvolutionKey& key, const CudnnDevice& device, const device_api::PlanOptions& options)
    : implementation_(std::make_unique<Implementation>()), description_(key.string()) {
  fe::graph::Graph& graph = implementation_->graph;
  graph.set_io_data_type(type_of(key.dtype))
      .set_compute_data_type(fe::DataType_t::FLOAT)
      .set_intermediate_data_type(fe::DataType_t::FLOAT);
  if (device.properties_ != nullptr) {
    graph.set_device_properties(std::static_pointer_cast<const fe::DeviceProperties>(device.properties_))
        .set_sm_version(device.sm_);
  }
  Builder(graph, key).build();
  fe::error_t error = graph.validate();
  if (error.is_good()) {
    error = device.handle_ != nullptr ? graph.build_operation_graph(device.handle_) : graph.build_operation_graph();
  }
  if (error.is_good()) {
    error = graph.create_execution_plans({fe::HeurMode_t::A, fe::HeurMode_t::B, fe::HeurMode_t::FALLBACK});
  }
  if (error.is_bad()) {
    rejection_reason_ = error.get_message();
    return;
  }
  std::vector<fe::NumericalNote_t> unwanted{fe::NumericalNote_t::REDUCED_PRECISION_REDUCTION, fe::NumericalNote_t::FFT,
                                            fe::NumericalNote_t::WINOGRAD_TILE_6x6, fe::NumericalNote_t::WINOGRAD_TILE_13x13};
  if (!options.nondeterministic) {
    unwanted.push_back(fe::NumericalNote_t::NONDETERMINISTIC);
  }
  if (key.dtype == DType::f32) {
    unwanted.push_back(fe::NumericalNote_t::TENSOR_CORE);  // TF32
    unwanted.push_back(fe::NumericalNote_t::DOWN_CONVERT_INPUTS);
  }
  graph.deselect_numeric_notes(unwanted);
  if (!options.runtime_compilation) {
    graph.deselect_behavior_notes({fe::BehaviorNote_t::RUNTIME_COMPILATION});
  }
  graph.deselect_workspace_greater_than(kWorkspaceLimit);
  if (error = graph.check_support(); error.is_bad()) {
    rejection_reason_ = error.get_message();
    return;
  }
  for (int64_t i = 0; i < graph.get_execution_plan_count(); ++i) {
    std::vector<fe::BehaviorNote_t> notes;
    if (!options.runtime_compilation && graph.get_behavior_notes_for_plan_at_index(i, notes).is_good() &&
        std::ranges::find(notes, fe::BehaviorNote_t::RUNTIME_COMPILATION) != notes.end()) {
      continue;  // cuDNN lists such plans only if a driver is installed
    }
    std::string plan;
    // The heuristic and fallback lists overlap.
    if (graph.get_plan_name_at_index(i, plan).is_good() && std::ranges::find(names_, plan) == names_.end()) {
      names_.push_back(plan);
      implementation_->indices.push_back(i);
    }
  }
}

ConvolutionGraph::~ConvolutionGraph() = default;

void ConvolutionGraph::build(size_t i) {
  if (fe::error_t error = implementation_->graph.build_plan_at_index(implementation_->indices.at(i)); error.is_bad()) {
    fail("cuDNN cannot build plan {} for {}: {}", names_.at(i), description_, error.get_message());
  }
}

int64_t ConvolutionGraph::workspace_bytes(size_t i) const {
  return implementation_->graph.get_workspace_size_plan_at_index(implementation_->indices.at(i));
}

void ConvolutionGraph::execute(size_t i, cudnnContext* handle, const BoundTensors& tensors, void* workspace) const {
  std::unordered_map<int64_t, void*> pointers;
  for (const auto& [role, data] : tensors) {
    pointers.emplace(static_cast<int64_t>(role) + 1, const_cast<void*>(data));
  }
  fe::error_t error = implementation_->graph.execute_plan_at_index(handle, pointers, workspace, implementation_->indices.at(i));
  if (error.is_bad()) {
    fail("cuDNN failed to run {} with plan {}: {}", description_, names_.at(i), error.get_message());
  }
}

}  // namespace residua::cuda
