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

/// The views of a sample that have one size.
struct EvaluationPass {
  int64_t input_size = 0;  // pixels a side that the network sees in this pass, 1 to kMaxCropSize
  std::shared_ptr<const ViewPolicy> views = {};
};

/// How a network is evaluated: by which views of a sample, and how their scores become the sample's. To add one, write a file
/// in core/evaluate/protocols that defines it and a `const Registration<Protocol>` for it.
class Protocol {
 public:
  virtual ~Protocol() = default;
  /// Options of its own.
  virtual void declare(Settings& /*settings*/) {}
  /// At least one pass, for a network with inputs of input_size x input_size. A sample's views are those of the first pass,
  /// then those of the second, and so on.
  virtual std::vector<EvaluationPass> passes(int64_t input_size) const = 0;
  /// Sets `scores` [classes] from the `logits` [views, classes] of one sample. The sample's loss is the cross entropy of
  /// softmax(scores), its best class the one with the highest score. A sample of one view has its logits as scores, without
  /// this. By default the mean of the logits.
  virtual void average(std::span<const float> logits, std::span<float> scores) const;
};

/// scores[c] = mean over views v of logits[v, c].
void average_logits(std::span<const float> logits, std::span<float> scores);
/// scores[c] = log of the mean over views v of softmax(logits[v])[c].
void average_probabilities(std::span<const float> logits, std::span<float> scores);

/// How to evaluate.
struct EvaluationOptions {
  std::string protocol = "center";  // by its registered name
  Kinds<Protocol> protocols = {};   // with their own options

  const Protocol& chosen() const { return protocols.at("protocol", protocol); }
};

void declare(Settings& settings, EvaluationOptions& options);

}  // namespace residua
