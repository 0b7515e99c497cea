#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/nn/parameter.h"
#include "core/nn/summary.h"
#include "core/ops/mode.h"
#include "core/tensor/tensor.h"

namespace residua {

/// A layer or a tree of layers. The constructor registers children, parameters and statistics under torchvision's names. A full
/// name joins the names from the root down with dots.
class Module {
 public:
  Module() = default;
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  /// The layer's output for x. In Mode::train, batch normalization uses and stores the statistics of the batch.
  virtual Tensor forward(const Tensor& x, Mode mode) = 0;

  /// Appends a row for each layer of this module, in the order of execution, and returns the output shape for an input [N, H,
  /// W, C] or [N, C]. Computes nothing. Throws UsageError if the input does not fit.
  virtual Shape summarize(const std::string& name, const Shape& input, std::vector<LayerSummary>& rows) const = 0;

  /// All parameters, in torchvision's order. Call this on the root: it also sets their full names.
  std::vector<Parameter*> parameters();
  /// The statistics of all batch normalization layers. Call this on the root: it also sets their full names.
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
