#include "core/autograd/tape.h"

#include <algorithm>
#include <optional>
#include <queue>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "core/autograd/no_grad.h"
#include "core/device/profile.h"
#include "core/kernels/add.h"
#include "core/kernels/cast.h"
#include "core/kernels/fill.h"
#include "core/kernels/run.h"

namespace residua {
namespace {

thread_local int64_t next_sequence = 0;

/// The autograd data of a tensor that a recorded operation made.
struct Recorded final : AutogradMeta {
  explicit Recorded(std::shared_ptr<Node> made_by) : node(std::move(made_by)) {}
  /// Frees the part of the graph that only this tensor holds. Goes node by node, because nested destructors would overflow the
  /// stack on a deep graph.
  ~Recorded() override;
  const char* operation() const override { return node->name; }

  std::shared_ptr<Node> node;
};

/// The record of an operation's result; null for a leaf.
Recorded* recorded(const std::shared_ptr<AutogradMeta>& meta) {
  return meta != nullptr && meta->operation() != nullptr ? static_cast<Recorded*>(meta.get()) : nullptr;
}

Recorded::~Recorded() {
  std::shared_ptr<Node> first = std::move(node);  // of a list, which needs no memory
  while (first != nullptr) {
    const std::shared_ptr<Node> released = std::move(first);
    first = std::move(released->next_released);
    if (released.use_count() != 1) {
      continue;
    }
    for (Edge& input : released->inputs) {
      const std::shared_ptr<AutogradMeta> meta = std::move(input.autograd);
      if (Recorded* result = recorded(meta); result != nullptr && meta.use_count() == 1) {
        result->node->next_released = std::move(first);
        first = std::move(result->node);
      }
    }
  }
}

/// total += term, in place. Only for memory that the tape owns: a tensor given by a rule may be in use elsewhere.
void add_in_place(const Tensor& total, const Tensor& term) {
  if (term.size() != total.size()) {
    fail("cannot add gradients of shapes {} and {}", total.shape().string(), term.shape().string());
  }
  Tensor converted = term;
  if (term.dtype() != total.dtype()) {
    converted = empty(term.shape(), total.dtype(), total.device());
    run(total.device(),
        Cast{.x_dtype = term.dtype(), .y_dtype = total.dtype(), .size = term.size(), .x = term.data(), .y = converted.data()});
  }
  run(total.device(),
      Add{.dtype = total.dtype(), .size = total.size(), .a = total.data(), .b = converted.data(), .y = total.data()});
}

void copy_into(const Tensor& target, const Tensor& source) {
  if (target.dtype() == source.dtype()) {
    device_api::copy(target.device(), target.data(), source.device(), source.data(), target.bytes());
    return;
  }
  run(target.device(),
      Cast{
          .x_dtype = source.dtype(), .y_dtype = target.dtype(), .size = source.size(), .x = source.data(), .y = target.data()});
}

void accumulate_leaf(AutogradMeta& leaf, const Tensor& gradient) {
  if (leaf.has_gradient) {
    add_in_place(leaf.gradient, gradient);
  } else if (!leaf.gradient.defined()) {
    leaf.gradient = gradient.clone();
  } else if (leaf.gradient.data() != gradient.data()) {
    copy_into(leaf.gradient, gradient);
  }
  leaf.has_gradient = true;
}

void accumulate_node(Node& node, const Tensor& gradient) {
  if (!node.gradient.defined()) {
    node.gradient = gradient;
    return;
  }
  if (node.sums && !node.more.defined()) {
    node.more = gradient;
    return;
  }
  const Tensor sum = empty_like(node.gradient);
  run(sum.device(),
      Add{.dtype = sum.dtype(), .size = sum.size(), .a = node.gradient.data(), .b = gradient.data(), .y = sum.data()});
  node.gradient = sum;
}

}  // namespace

Gradients::Gradients(const Node& node) : node_(node), results_(node.inputs.size()) {}

bool Gradients::wants(int i) const { return node_.inputs.at(static_cast<size_t>(i)).autograd != nullptr; }

Tensor Gradients::output(int i) {
  const Edge& input = node_.inputs.at(static_cast<size_t>(i));
  const Tensor result = output_as_stored(i);
  return result.dtype() == input.dtype ? result
                                       : results_[static_cast<size_t>(i)] = empty(input.shape, input.dtype, input.device);
}

Tensor Gradients::output_as_stored(int i) {
  const Edge& input = node_.inputs.at(static_cast<size_t>(i));
  if (input.autograd == nullptr) {
    fail("{} computes the gradient of input {}, but nothing needs it", node_.name, i);
  }
  const Tensor& leaf = input.autograd->gradient;
  Tensor& result = results_[static_cast<size_t>(i)];
  if (recorded(input.autograd) != nullptr || !leaf.defined()) {
    result = empty(input.shape, input.dtype, input.device);
    return result;
  }
  // The first gradient of a step is written straight to the leaf's memory, unless the leaf is two inputs of the same node.
  const bool taken = std::ranges::any_of(results_, [&](const Tensor& t) { return t.defined() && t.data() == leaf.data(); });
  result = input.autograd->has_gradient || taken ? empty(leaf.shape(), leaf.dtype(), leaf.device()) : leaf.detached();
  return result;
}

void Gradients::give(int i, Tensor gradient) { results_.at(static_cast<size_t>(i)) = std::move(gradient); }

void Gradients::finish() {
  for (size_t i = 0; i < results_.size(); ++i) {
    const std::shared_ptr<AutogradMeta>& meta = node_.inputs[i].autograd;
    if (!results_[i].defined() || meta == nullptr) {
      continue;
    }
    if (Recorded* result = recorded(meta)) {
      accumulate_node(*result->node, results_[i]);
    } else {
      accumulate_leaf(*meta, results_[i]);
    }
  }
}

bool grad_needed(std::initializer_list<Tensor> inputs) {
  return is_recording() && std::ranges::any_of(inputs, [](const Tensor& t) { return t.defined() && t.requires_grad(); });
}

namespace {

Tensor record(Tensor output, const std::vector<Tensor>& inputs, const char* name, bool sums, BackwardRuleOfSum rule) {
  std::vector<Edge> edges;
  bool needed = false;
  for (const Tensor& input : inputs) {
    const bool wanted = input.defined() && input.requires_grad();
    needed |= wanted;
    edges.push_back(wanted ? Edge{input.autograd(), input.shape(), input.dtype(), input.device()} : Edge{});
  }
  if (is_recording() && needed) {
    output.set_autograd(std::make_shared<Recorded>(std::make_shared<Node>(Node{.name = name,
                                                                               .layer = profile::layer(),
                                                                               .sequence = next_sequence++,
                                                                               .inputs = std::move(edges),
                                                                               .sums = sums,
                                                                               .rule = std::move(rule),
                                                                               .gradient = {},
                                                                               .more = {}})));
  }
  return output;
}

}  // namespace

Tensor record(Tensor output, std::vector<Tensor> inputs, const char* name, BackwardRule rule) {
  return record(std::move(output), inputs, name, false,
                [rule = std::move(rule)](const Tensor& dy, const Tensor&, Gradients& gradients) { rule(dy, gradients); });
}

Tensor record(Tensor output, std::vector<Tensor> inputs, const char* name, BackwardRuleOfSum rule) {
  return record(std::move(output), inputs, name, true, std::move(rule));
}

namespace {

/// Counts how many inputs of a graph's nodes each leaf is. Those that a leaf still is an input of may add to its gradient.
class LeafUses {
 public:
  explicit LeafUses(const Node& root) {
    std::vector<const Node*> left{&root};
    std::unordered_set<const Node*> seen{&root};
    while (!left.empty()) {
      const Node& node = *left.back();
      left.pop_back();
      for (const Edge& input : node.inputs) {
        if (const Recorded* result = recorded(input.autograd); result != nullptr) {
          if (seen.insert(result->node.get()).second) {
            left.push_back(result->node.get());
          }
        } else if (input.autograd != nullptr) {
          ++uses_[input.autograd.get()];
        }
      }
    }
  }

  /// Takes away the uses of a node that has run, and calls `complete` for leaves without further ones.
  void ran(const Node& node, const LeafComplete& complete) {
    for (const Edge& input : node.inputs) {
      const AutogradMeta* leaf = input.autograd.get();
      if (leaf != nullptr && leaf->operation() == nullptr && --uses_[leaf] == 0) {
        complete(*leaf);
      }
    }
  }

 private:
  std::unordered_map<const AutogradMeta*, int64_t> uses_;
};

}  // namespace

void backward(const Tensor& loss, float scale) { backward(loss, full(loss.shape(), scale, loss.dtype(), loss.device())); }

void backward(const Tensor& loss, const Tensor& scale, const LeafComplete& complete) {
  if (loss.size() != 1) {
    fail("backward() starts from a scalar, got shape {}", loss.shape().string());
  }
  if (scale.size() != 1 || scale.dtype() != loss.dtype() || scale.device() != loss.device()) {
    fail("backward(): the scale is {} {} on {}, wanted a scalar of the loss's type and device: {} on {}",
         scale.shape().string(), name(scale.dtype()), scale.device().string(), name(loss.dtype()), loss.device().string());
  }
  const std::shared_ptr<AutogradMeta> meta = loss.autograd();
  const Recorded* root = recorded(meta);
  if (root == nullptr) {
    fail(
        "backward() needs a tensor made by a recorded operation: nothing that this one was computed from requires a gradient, "
        "or NoGrad was active");
  }
  const NoGrad no_grad;
  const auto later = [](const std::shared_ptr<Node>& a, const std::shared_ptr<Node>& b) { return a->sequence < b->sequence; };
  std::priority_queue<std::shared_ptr<Node>, std::vector<std::shared_ptr<Node>>, decltype(later)> queue(later);
  std::unordered_set<const Node*> seen;
  std::optional<LeafUses> uses;
  if (complete) {
    uses.emplace(*root->node);
  }
  root->node->gradient = scale.detached();
  queue.push(root->node);
  seen.insert(root->node.get());
  while (!queue.empty()) {
    const std::shared_ptr<Node> node = queue.top();
    queue.pop();
    if (node->rule == nullptr) {
      fail("second backward() through {}: the first one freed the graph; run the forward pass again", node->name);
    }
    const Tensor dy = std::exchange(node->gradient, {});
    const Tensor more = std::exchange(node->more, {});
    if (dy.defined()) {
      const profile::Layer layer(node->layer);
      Gradients gradients(*node);
      node->rule(dy, more, gradients);
      gradients.finish();
    }
    node->rule = nullptr;
    if (uses) {
      uses->ran(*node, complete);
    }
    for (const Edge& input : node->inputs) {
      if (const Recorded* result = recorded(input.autograd); result != nullptr && seen.insert(result->node.get()).second) {
        queue.push(result->node);
      }
    }
    node->inputs.clear();
  }
}

}  // namespace residua
