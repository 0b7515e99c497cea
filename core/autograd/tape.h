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
/// Like BackwardRule, for a gradient in two terms, `dy` and `more`. The kernel adds them as it reads them, which saves a pass
/// over memory. `more` is undefined if there is only one term.
using BackwardRuleOfSum = std::function<void(const Tensor& dy, const Tensor& more, Gradients& gradients)>;

/// Called by backward() once for each leaf, as soon as all rules that add to its gradient have been queued.
using LeafComplete = std::function<void(const AutogradMeta& leaf)>;

/// What a node keeps of an input: its autograd data and its shape, not its contents. The rule captures the contents it needs.
struct Edge {
  std::shared_ptr<AutogradMeta> autograd;  // null if no gradient is wanted
  Shape shape;
  DType dtype;
  Device device;
};

/// One recorded operation. Nodes own their inputs' nodes, so a graph lives as long as its last output.
struct Node {
  const char* name;
  std::string_view layer;                         // the layer that the profiler assigns it to
  int64_t sequence;                               // order of recording; backward runs from high to low
  std::vector<Edge> inputs;                       // cleared once the node has run
  bool sums;                                      // whether the rule adds `more` itself
  BackwardRuleOfSum rule;                         // cleared once the node has run
  Tensor gradient, more;                          // the output's gradient, summed over its consumers, is gradient + more
  std::shared_ptr<Node> next_released = nullptr;  // while a graph is freed
};

/// Passed to a backward rule. Says which inputs want a gradient and where to write it.
class Gradients {
 public:
  explicit Gradients(const Node& node);

  /// False if input `i` needs no gradient; the rule must then not compute it.
  bool wants(int i) const;
  /// Memory of the input's type that the rule must overwrite with the gradient of input `i`. The tape then adds it to any
  /// gradient that is already there.
  Tensor output(int i);
  /// Like output(), for a rule that can write any floating type: the memory has the type in which the gradient is finally
  /// stored, which may differ from the input's.
  Tensor output_as_stored(int i);
  /// Uses `gradient` as the gradient of input `i` without a copy. The rule must not write to it afterwards.
  void give(int i, Tensor gradient);

 private:
  friend void backward(const Tensor& loss, const Tensor& scale, const LeafComplete& complete);
  void finish();

  const Node& node_;
  std::vector<Tensor> results_;
};

/// Records `output` as a function of `inputs` and returns it. Does nothing under NoGrad or if no input needs a gradient. The
/// rule must capture `output.detached()`, never `output`: that would form a cycle and leak memory.
Tensor record(Tensor output, std::vector<Tensor> inputs, const char* name, BackwardRule rule);
Tensor record(Tensor output, std::vector<Tensor> inputs, const char* name, BackwardRuleOfSum rule);

/// Whether `record` would record an operation on these inputs. If not, an op need not save anything for backward.
bool grad_needed(std::initializer_list<Tensor> inputs);

/// Adds d(scale * loss)/dleaf to the gradient of each leaf that `loss` (a scalar) depends on. Frees the graph on the way: a
/// second call on the same graph throws Error.
void backward(const Tensor& loss, float scale = 1.0f);
/// Like the above, with the loss scale as a device scalar of the same type as `loss`. The host does not wait for its value.
/// Calls `complete` for each leaf.
void backward(const Tensor& loss, const Tensor& scale, const LeafComplete& complete = {});

}  // namespace residua
