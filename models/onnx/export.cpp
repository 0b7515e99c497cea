#include "models/onnx/export.h"

#include <limits>
#include <map>

#include "core/autograd/no_grad.h"
#include "core/autograd/trace.h"
#include "core/data/views/center.h"
#include "core/io/atomic_file.h"
#include "core/nn/state_dict.h"
#include "models/onnx/onnx_graph.h"

namespace residua {
namespace {

constexpr int64_t kFree = 0;  // a free size
constexpr const char* kInput = "images";
constexpr const char* kOutput = "logits";

/// "layer1.0.conv1" of "layer1.0.conv1.weight".
std::string layer_of(const std::string& parameter) { return parameter.substr(0, parameter.rfind('.')); }

/// Writes the operations of a trace into a graph.
class Writer {
 public:
  Writer(OnnxGraph& graph, const ParameterStore& store) : graph_(graph) {
    for (const Parameter* parameter : store.parameters()) {
      parameters_[parameter->value.data()] = parameter;
    }
    for (const RunningStatistics* statistics : store.statistics()) {
      statistics_[statistics->running_mean.data()] = statistics->name + ".running_mean";
      statistics_[statistics->running_variance.data()] = statistics->name + ".running_var";
    }
  }

  void set(const Tensor& tensor, std::string value) { values_[tensor.data()] = std::move(value); }

  /// The value that holds a tensor: a node's output, or a constant.
  std::string value(const Tensor& tensor) {
    if (const auto made = values_.find(tensor.data()); made != values_.end()) {
      return made->second;
    }
    if (const auto found = parameters_.find(tensor.data()); found != parameters_.end()) {
      const Parameter& parameter = *found->second;
      const auto sizes = parameter.logical.sizes();
      return graph_.constant(parameter.name, {sizes.begin(), sizes.end()}, to_logical(parameter, parameter.master));
    }
    if (const auto found = statistics_.find(tensor.data()); found != statistics_.end()) {
      return graph_.constant(found->second, {tensor.size()}, tensor.to_vector());
    }
    fail("a tensor of shape {} comes from an operation that leaves no trace, so it has no form in ONNX",
         tensor.shape().string());
  }

  /// The name of the layer that a parameter belongs to.
  std::string layer(const Tensor& weight) const {
    const auto found = parameters_.find(weight.data());
    return found != parameters_.end() ? layer_of(found->second->name) : "layer";
  }

  std::string convolution(const std::string& x, const Tensor& weight, const TracedOp& op) {
    return graph_.node("Conv", layer(weight), {x, value(weight)},
                       {{"kernel_shape", std::vector{weight.dim(1), weight.dim(2)}},
                        {"strides", both(op, "stride")},
                        {"pads", std::vector<int64_t>(4, whole(op, "padding"))}});
  }

  /// Of the operation's inputs x, gamma, beta, running mean and running variance.
  std::string norm(const TracedOp& op) {
    std::vector<std::string> inputs;
    for (size_t i = 0; i < 5; ++i) {
      inputs.push_back(value(op.inputs[i]));
    }
    return graph_.node("BatchNormalization", layer(op.inputs[1]), inputs,
                       {{"epsilon", static_cast<float>(op.option("epsilon"))}});
  }

  std::string relu(const std::string& x, const std::string& name) { return graph_.node("Relu", name, {x}); }

  std::string pool(const char* op_type, const std::string& x, const TracedOp& op,
                   std::vector<OnnxGraph::Attribute> attributes = {}) {
    attributes.insert(attributes.end(), {{"kernel_shape", both(op, "window")},
                                         {"strides", both(op, "stride")},
                                         {"pads", std::vector<int64_t>(4, whole(op, "padding"))}});
    return graph_.node(op_type, "pool", {x}, attributes);
  }

  /// Every stride-th pixel or the mean of each window, then zero channels before and behind the others.
  std::string zero_pad_shortcut(const TracedOp& op) {
    const Tensor& x = op.inputs[0];
    const int64_t stride = whole(op, "stride");
    std::string y = value(x);
    if (op.option("average") != 0) {
      // Only an odd edge has windows that reach over it.
      const int64_t ceil = x.dim(1) % stride != 0 || x.dim(2) % stride != 0 ? 1 : 0;
      y = graph_.node("AveragePool", "shortcut.pool", {y},
                      {{"kernel_shape", both(op, "stride")}, {"strides", both(op, "stride")}, {"ceil_mode", ceil}});
    } else if (stride > 1) {
      constexpr int64_t kEnd = std::numeric_limits<int64_t>::max();
      y = graph_.node("Slice", "shortcut.subsample",
                      {y, graph_.constant("shortcut.starts", std::vector<int64_t>{0, 0}),
                       graph_.constant("shortcut.ends", std::vector<int64_t>{kEnd, kEnd}),
                       graph_.constant("shortcut.axes", std::vector<int64_t>{2, 3}),
                       graph_.constant(fmt::format("shortcut.steps{}", stride), std::vector<int64_t>{stride, stride})});
    }
    const int64_t before = whole(op, "first_channel");
    const int64_t after = op.output.dim(3) - x.dim(3) - before;
    const std::vector<int64_t> pads{0, before, 0, 0, 0, after, 0, 0};
    return graph_.node("Pad", "shortcut.pad", {y, graph_.constant(fmt::format("shortcut.pads{}_{}", before, after), pads)});
  }

  std::string linear(const TracedOp& op) {
    std::vector<std::string> inputs{value(op.inputs[0]), value(op.inputs[1])};
    if (op.inputs[2].defined()) {
      inputs.push_back(value(op.inputs[2]));
    }
    return graph_.node("Gemm", layer(op.inputs[1]), inputs, {{"transB", int64_t{1}}});
  }

  std::string global_average_pool(const TracedOp& op) {
    const std::string mean = graph_.node("GlobalAveragePool", "avgpool", {value(op.inputs[0])});
    return graph_.node("Flatten", "flatten", {mean}, {{"axis", int64_t{1}}});
  }

  std::string add(const std::string& a, const std::string& b, const std::string& name) {
    return graph_.node("Add", name, {a, b});
  }

 private:
  static int64_t whole(const TracedOp& op, std::string_view option) { return static_cast<int64_t>(op.option(option)); }
  static std::vector<int64_t> both(const TracedOp& op, std::string_view option) {
    return std::vector<int64_t>(2, whole(op, option));
  }

  OnnxGraph& graph_;
  std::map<const void*, std::string> values_;
  std::map<const void*, const Parameter*> parameters_;
  std::map<const void*, std::string> statistics_;
};

/// The form of each operation of core/ops. Returns the value of its output.
using Form = std::string (*)(Writer&, const TracedOp&);
const std::map<std::string_view, Form> kForms = {
    {"conv2d", [](Writer& w, const TracedOp& op) { return w.convolution(w.value(op.inputs[0]), op.inputs[1], op); }},
    {"batch_norm", [](Writer& w, const TracedOp& op) { return w.norm(op); }},
    {"batch_norm_relu", [](Writer& w, const TracedOp& op) { return w.relu(w.norm(op), w.layer(op.inputs[1]) + ".relu"); }},
    {"batch_norm_add_relu",
     [](Writer& w, const TracedOp& op) {
       const std::string name = w.layer(op.inputs[1]);
       return w.relu(w.add(w.norm(op), w.value(op.inputs[5]), name + ".add"), name + ".relu");
     }},
    {"batch_norm_relu_conv2d",
     [](Writer& w, const TracedOp& op) {
       return w.convolution(w.relu(w.norm(op), w.layer(op.inputs[1]) + ".relu"), op.inputs[5], op);
     }},
    {"batch_norm_relu_max_pool",
     [](Writer& w, const TracedOp& op) { return w.pool("MaxPool", w.relu(w.norm(op), w.layer(op.inputs[1]) + ".relu"), op); }},
    {"max_pool", [](Writer& w, const TracedOp& op) { return w.pool("MaxPool", w.value(op.inputs[0]), op); }},
    {"average_pool",
     [](Writer& w, const TracedOp& op) {
       return w.pool("AveragePool", w.value(op.inputs[0]), op, {{"count_include_pad", int64_t{1}}});
     }},
    {"global_average_pool", [](Writer& w, const TracedOp& op) { return w.global_average_pool(op); }},
    {"zero_pad_shortcut", [](Writer& w, const TracedOp& op) { return w.zero_pad_shortcut(op); }},
    {"relu", [](Writer& w, const TracedOp& op) { return w.relu(w.value(op.inputs[0]), "relu"); }},
    {"add", [](Writer& w, const TracedOp& op) { return w.add(w.value(op.inputs[0]), w.value(op.inputs[1]), "add"); }},
    {"linear", [](Writer& w, const TracedOp& op) { return w.linear(op); }},
};

/// (images - mean / 255) / (std / 255): the network's input from pixels between 0 and 1.
std::string normalized(OnnxGraph& graph, const InputDescription& input) {
  const auto image = static_cast<int64_t>(input.mean.size()) / 3;  // pixels of the mean: 1, or all
  std::vector<float> mean;
  for (int64_t channel = 0; channel < 3; ++channel) {
    for (int64_t pixel = 0; pixel < image; ++pixel) {
      mean.push_back(input.mean[static_cast<size_t>(pixel * 3 + channel)] / 255);
    }
  }
  std::vector<float> deviation;
  for (const float std : input.std) {
    deviation.push_back(std / 255);
  }
  const int64_t side = image == 1 ? 1 : input.size;
  const std::string centered =
      graph.node("Sub", "input.centered", {kInput, graph.constant("input.mean", {1, 3, side, side}, mean)});
  return graph.node("Div", "input.normalized", {centered, graph.constant("input.std", {1, 3, 1, 1}, deviation)});
}

void describe(OnnxGraph& graph, const Network& network) {
  for (const auto& [key, text] : network_metadata(network)) {
    if (key != "mean" && key != "std") {  // the graph holds them
      graph.metadata(key, text);
    }
  }
  const int64_t size = network.input.size;
  const int64_t shorter = center_view({2 * size, 2 * size}, size).resize.resized.height;
  graph.metadata("input", "RGB from 0 to 1; the graph subtracts the mean and divides by the standard deviation");
  graph.metadata("resize", fmt::format("shorter side to {} pixels, bilinear with antialiasing, then the center {} x {}; an "
                                       "image of that size stays as it is",
                                       shorter, size, size));
}

}  // namespace

OnnxModel onnx_model(Network& network, const ParameterStore& store) {
  if (store.options().compute != DType::f32 || store.options().device != Device{}) {
    fail("an ONNX model is made from a network for fp32 on the CPU");
  }
  const int64_t size = network.input.size;
  const NoGrad no_grad;
  const Tensor x = zeros({1, size, size, network.input_channels}, DType::f32);
  const Trace trace;
  const Tensor logits = network.module->forward(x, Mode::evaluate);

  OnnxGraph graph(network.name);
  graph.input(kInput, {kFree, 3, size, size});
  Writer writer(graph, store);
  writer.set(x, normalized(graph, network.input));
  for (const TracedOp& op : trace.ops()) {
    const auto form = kForms.find(op.name);
    if (form == kForms.end()) {
      fail("the operation {} has no form in ONNX", op.name);
    }
    writer.set(op.output, form->second(writer, op));
  }
  graph.output(writer.value(logits), kOutput, {kFree, network.classes()});
  describe(graph, network);
  return {.bytes = graph.bytes(), .nodes = graph.nodes()};
}

OnnxExported export_onnx(const OnnxExport& options) {
  const Safetensors file = read_weights(options.weights);
  Network network = network_from_weights(file, options.overrides, DType::f32);
  ParameterStore store(*network.module, {.purpose = Purpose::inference});
  load_weights(file, store, network.family->classifier() + ".");
  const OnnxModel model = onnx_model(network, store);
  atomic_write(options.path, model.bytes);
  return {.network = network.description(), .nodes = model.nodes, .bytes = static_cast<int64_t>(model.bytes.size())};
}

}  // namespace residua
