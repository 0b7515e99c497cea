#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/nn/parameter.h"
#include "core/nn/summary.h"
#include "core/ops/mode.h"
#include "core/tensor/tensor.h"

namespace residua {

/// A layer or a tree of layers. Children, parameters and statistics are registered by the constructor under the names that
/// torchvision gives them; the full name joins those on the way from the root by dots.
class Module {
 public:
  Module() = default;
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  /// The layer's output for x. In Mode::train batch normalization uses, and keeps, the statistics of the batch.
  virtual Tensor forward(const Tensor& x, Mode mode) = 0;

  /// Appends a row for each layer below, in the order of execution, and returns the shape that an input [N, H, W, C] or [N, C]
  /// turns into. Nothing is computed. Fails with UsageError when the input does not fit.
  virtual Shape summarize(const std::string& name, const Shape& input, std::vector<LayerSummary>& rows) const = 0;

  /// All parameters, in torchvision's order; called on the root, it gives them their full names.
  std::vector<Parameter*> parameters();
  /// The statistics of all batch normalization layers, likewise.
  std::vector<RunningStatistics*> statistics();

 protected:
  void add_child(std::string name, Module& child) { children_.emplace_back(std::move(name), &child); }
  void add_parameter(std::string name, Parameter& parameter) { parameters_.emplace_back(std::move(name), &parameter); }
  void add_statistics(RunningStatistics& statistics) { statistics_.push_back(&statistics); }

 private:
  template <class Visit>
  void visit(const std::string& prefix, const Visit& f);

  std::vector<std::pair<std::string, Module*>> children_;
  std::vector<std::pair<std::string, Parameter*>> parameters_;
  std::vector<RunningStatistics*> statistics_;
};

}  // namespace residua
