#include "models/onnx/onnx_graph.h"

#define ONNX_ML 1  // Debian has this form of the schema alone
#include <onnx/onnx_pb.h>

#include <algorithm>
#include <limits>

#include "core/base/error.h"
#include "core/base/version.h"

namespace residua {
namespace {

constexpr int64_t kOpset = 13;
constexpr int64_t kIrVersion = 7;  // the first with opset 13
constexpr const char* kBatch = "batch";

void describe(onnx::ValueInfoProto& value, const std::string& name, const std::vector<int64_t>& shape) {
  value.set_name(name);
  onnx::TypeProto_Tensor& tensor = *value.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(onnx::TensorProto::FLOAT);
  for (const int64_t size : shape) {
    onnx::TensorShapeProto_Dimension& dimension = *tensor.mutable_shape()->add_dim();
    if (size == 0) {
      dimension.set_dim_param(kBatch);
    } else {
      dimension.set_dim_value(size);
    }
  }
}

void set(onnx::AttributeProto& attribute, int64_t value) {
  attribute.set_type(onnx::AttributeProto::INT);
  attribute.set_i(value);
}

void set(onnx::AttributeProto& attribute, float value) {
  attribute.set_type(onnx::AttributeProto::FLOAT);
  attribute.set_f(value);
}

void set(onnx::AttributeProto& attribute, const std::vector<int64_t>& values) {
  attribute.set_type(onnx::AttributeProto::INTS);
  attribute.mutable_ints()->Add(values.begin(), values.end());
}

}  // namespace

struct OnnxGraph::Model {
  onnx::ModelProto proto;
  onnx::GraphProto& graph = *proto.mutable_graph();
};

OnnxGraph::OnnxGraph(const std::string& name) : model_(std::make_unique<Model>()) {
  onnx::ModelProto& model = model_->proto;
  model.set_ir_version(kIrVersion);
  model.set_producer_name("residua");
  model.set_producer_version(std::string(version()));
  onnx::OperatorSetIdProto& opset = *model.add_opset_import();
  opset.set_domain("");
  opset.set_version(kOpset);
  model_->graph.set_name(name);
}

OnnxGraph::~OnnxGraph() = default;

void OnnxGraph::input(const std::string& name, const std::vector<int64_t>& shape) {
  describe(*model_->graph.add_input(), name, shape);
  ++names_[name];
}

void OnnxGraph::output(const std::string& value, const std::string& name, const std::vector<int64_t>& shape) {
  for (onnx::NodeProto& node : *model_->graph.mutable_node()) {
    std::ranges::replace(*node.mutable_input(), value, name);
    std::ranges::replace(*node.mutable_output(), value, name);
  }
  describe(*model_->graph.add_output(), name, shape);
}

std::string OnnxGraph::constant(const std::string& name, const std::vector<int64_t>& shape, std::span<const float> values) {
  if (names_[name]++ == 0) {
    onnx::TensorProto& tensor = *model_->graph.add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(onnx::TensorProto::FLOAT);
    tensor.mutable_dims()->Add(shape.begin(), shape.end());
    tensor.set_raw_data(values.data(), values.size_bytes());  // little-endian, like all machines that Residua runs on
  }
  return name;
}

std::string OnnxGraph::constant(const std::string& name, std::span<const int64_t> values) {
  if (names_[name]++ == 0) {
    onnx::TensorProto& tensor = *model_->graph.add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(onnx::TensorProto::INT64);
    tensor.add_dims(static_cast<int64_t>(values.size()));
    tensor.set_raw_data(values.data(), values.size_bytes());
  }
  return name;
}

std::string OnnxGraph::node(const std::string& op_type, const std::string& name, const std::vector<std::string>& inputs,
                            const std::vector<Attribute>& attributes) {
  const int before = names_[name]++;
  const std::string own = before == 0 ? name : fmt::format("{}_{}", name, before);
  onnx::NodeProto& node = *model_->graph.add_node();
  node.set_op_type(op_type);
  node.set_name(own);
  node.add_output(own);
  for (const std::string& input : inputs) {
    node.add_input(input);
  }
  for (const auto& [key, value] : attributes) {
    onnx::AttributeProto& attribute = *node.add_attribute();
    attribute.set_name(std::string(key));
    std::visit([&attribute = attribute](const auto& typed) { set(attribute, typed); }, value);
  }
  return own;
}

void OnnxGraph::metadata(const std::string& key, const std::string& value) {
  onnx::StringStringEntryProto& entry = *model_->proto.add_metadata_props();
  entry.set_key(key);
  entry.set_value(value);
}

int64_t OnnxGraph::nodes() const { return model_->graph.node_size(); }

std::string OnnxGraph::bytes() const {
  if (model_->proto.ByteSizeLong() > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    fail("the model has {} bytes; an ONNX file can have 2 GB at most", model_->proto.ByteSizeLong());
  }
  return model_->proto.SerializeAsString();
}

}  // namespace residua
