#pragma once

#include <deque>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor/tensor.h"

namespace residua {

/// An option of an operation: {"stride", 2}.
struct TracedOption {
  template <class Number>
  TracedOption(std::string_view option_name, Number number) : name(option_name), value(static_cast<double>(number)) {}

  std::string_view name;
  double value;
};

/// One operation that ran.
struct TracedOp {
  std::string_view name;       // "conv2d"
  std::string layer;           // the layer that the profiler assigns it to
  std::vector<Tensor> inputs;  // in the order of the function's arguments; one that the caller left out is undefined
  Tensor output;
  std::vector<TracedOption> options;

  /// The value of an option. Throws Error if the operation has none of this name.
  double option(std::string_view option_name) const;
};

/// The operations that this thread runs while the object exists, in order. Exporters read a network's structure from them. A
/// trace keeps every tensor, so addresses tell tensors apart. Traces do not nest.
class Trace {
 public:
  Trace();
  ~Trace();
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;

  const std::deque<TracedOp>& ops() const { return ops_; }

 private:
  friend void trace(std::string_view, std::initializer_list<Tensor>, const Tensor&, std::initializer_list<TracedOption>);
  std::deque<TracedOp> ops_;
};

/// Adds an operation to this thread's trace, if there is one. Every op of core/ops that a network uses in Mode::evaluate calls
/// this.
void trace(std::string_view name, std::initializer_list<Tensor> inputs, const Tensor& output,
           std::initializer_list<TracedOption> options = {});

}  // namespace residua
