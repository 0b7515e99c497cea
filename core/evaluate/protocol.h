#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/kinds.h"
#include "core/data/views/view.h"

namespace residua {

class Settings;

/// The views of a sample that have the same size.
struct EvaluationPass {
  int64_t input_size = 0;  // side of the network's input in this pass in pixels, 1 to kMaxCropSize
  std::shared_ptr<const ViewPolicy> views = {};
};

/// An evaluation protocol: which views of a sample to evaluate, and how to combine their scores. To add one, write a file in
/// core/evaluate/protocols that defines it and a `const Registration<Protocol>` for it.
class Protocol {
 public:
  virtual ~Protocol() = default;
  /// Declares its own options.
  virtual void declare(Settings& /*settings*/) {}
  /// Returns at least one pass, for a network with inputs of input_size x input_size. A sample's views are in the order of the
  /// passes.
  virtual std::vector<EvaluationPass> passes(int64_t input_size) const = 0;
  /// Computes the `scores` [classes] of one sample from its `logits` [views, classes]; the default is their mean. The sample's
  /// loss is the cross entropy of softmax(scores), its top class the one with the highest score. Not called for protocols with
  /// a single view, whose scores are the logits.
  virtual void average(std::span<const float> logits, std::span<float> scores) const;
};

/// scores[c] = mean over views v of logits[v, c].
void average_logits(std::span<const float> logits, std::span<float> scores);
/// scores[c] = log of the mean over views v of softmax(logits[v])[c].
void average_probabilities(std::span<const float> logits, std::span<float> scores);

/// The evaluation settings.
struct EvaluationOptions {
  std::string protocol = "center";  // registered name
  Kinds<Protocol> protocols = {};   // with their own options

  const Protocol& chosen() const { return protocols.at("protocol", protocol); }
};

void declare(Settings& settings, EvaluationOptions& options);

}  // namespace residua
