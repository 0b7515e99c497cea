#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "core/tensor/tensor.h"

namespace residua {

class Gradients;

/// Computes the gradients of an operation's inputs from the gradient `dy` of its output.
using BackwardRule = std::function<void(const Tensor& dy, Gradients& gradients)>;
/// The same from dy + more, for a kernel that adds as it reads and so spares a pass over memory: `more` is undefined where the
/// gradient came in one piece.
using BackwardRuleOfSum = std::function<void(const Tensor& dy, const Tensor& more, Gradients& gradients)>;

/// What a node remembers of an input: its history and its form, not its contents. What a rule reads it has captured.
struct Edge {
  std::shared_ptr<AutogradMeta> autograd;  // null where no gradient is wanted
  Shape shape;
  DType dtype;
  Device device;
};

/// One recorded operation. Nodes own their inputs' nodes, so a graph lives as long as its last output.
struct Node {
  const char* name;
  std::string_view layer;    // that the profiler books it under
  int64_t sequence;          // order of recording; backward runs from high to low
  std::vector<Edge> inputs;  // cleared once the node has run
  bool sums;                 // whether the rule adds `more` itself
  BackwardRuleOfSum rule;    // cleared once the node has run
  Tensor gradient, more;     // of the output, over its consumers: their sum
};

/// Handed to a backward rule: where the gradient of each input goes.
class Gradients {
 public:
  explicit Gradients(const Node& node);

  /// False where the gradient of input `i` is of no use and must not be computed.
  bool wants(int i) const;
  /// Memory of the input's type that the rule must overwrite with the gradient of input `i`; the tape adds it to what is there
  /// already, if anything.
  Tensor output(int i);
  /// The same for a rule that can write any floating type: in that of the gradient's final place, which may not be the input's.
  Tensor output_as_stored(int i);
  /// Uses `gradient` as that of input `i`, without a copy; the rule must not write to it afterwards.
  void give(int i, Tensor gradient);

 private:
  friend void backward(const Tensor& loss, const Tensor& scale);
  void finish();

  const Node& node_;
  std::vector<Tensor> results_;
};

/// Makes `output` a function of `inputs`. Does nothing inside NoGrad or when no input needs a gradient.
/// The rule must capture `output.detached()`, never `output`: that would be a cycle and a leak.
Tensor record(Tensor output, std::vector<Tensor> inputs, const char* name, BackwardRule rule);
Tensor record(Tensor output, std::vector<Tensor> inputs, const char* name, BackwardRuleOfSum rule);

/// Whether `record` would do anything for these inputs: an op need not keep what only its backward reads otherwise.
bool grad_needed(std::initializer_list<Tensor> inputs);

/// Adds d(scale * loss)/dleaf to the gradient of each leaf that `loss` (a scalar) depends on. The graph is freed as it is
/// walked: a second call on the same graph fails.
void backward(const Tensor& loss, float scale = 1.0f);
/// The same with a scale that is read on the device, when its work gets there: a scalar like `loss`.
void backward(const Tensor& loss, const Tensor& scale);

}  // namespace residua
