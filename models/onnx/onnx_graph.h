#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace residua {

/// Builds an ONNX model (https://onnx.ai/onnx/repo-docs/IR.html) node by node. Values have names; those of nodes are the nodes'
/// own. Opset 13, which onnxruntime knows since 1.6.
class OnnxGraph {
 public:
  using Attribute = std::pair<std::string_view, std::variant<int64_t, float, std::vector<int64_t>>>;

  explicit OnnxGraph(const std::string& name);
  ~OnnxGraph();
  OnnxGraph(const OnnxGraph&) = delete;
  OnnxGraph& operator=(const OnnxGraph&) = delete;

  /// A dimension of 0 has the free size "batch".
  void input(const std::string& name, const std::vector<int64_t>& shape);
  /// Makes a value the graph's output, under this name.
  void output(const std::string& value, const std::string& name, const std::vector<int64_t>& shape);
  /// Adds a constant, unless there is one of this name. Returns the name.
  std::string constant(const std::string& name, const std::vector<int64_t>& shape, std::span<const float> values);
  std::string constant(const std::string& name, std::span<const int64_t> values);
  /// Adds a node with one output. Returns the output's name: `name`, with a number behind it if the graph has that name
  /// already.
  std::string node(const std::string& op_type, const std::string& name, const std::vector<std::string>& inputs,
                   const std::vector<Attribute>& attributes = {});

  void metadata(const std::string& key, const std::string& value);
  int64_t nodes() const;
  /// The bytes of the file. Throws Error if they are more than the 2 GB that the format can have.
  std::string bytes() const;

 private:
  struct Model;
  std::unique_ptr<Model> model_;
  std::map<std::string, int> names_;  // how often a name was wanted
};

}  // namespace residua
