#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/enum_text.h"
#include "core/base/kinds.h"
#include "core/data/views/view.h"

namespace residua {

class Settings;

/// The views of a sample that have the same size.
struct EvaluationPass {
  int64_t input_size =
      0;  // side of the network's input in this pass in pixels, 1 to kMaxCropSize; the shorter one if not square
  std::shared_ptr<const ViewPolicy> views = {};
};

/// What to take the mean of over the views of a sample. softmax: the probabilities (Krizhevsky et al. 2012, section 4.1, which
/// He et al. 2015 follow). logits: the outputs of the classifier.
enum class Average : uint8_t { softmax, logits };
template <>
inline constexpr auto kEnumText<Average> = enum_text<Average>({{Average::softmax, "softmax"}, {Average::logits, "logits"}});

/// An evaluation protocol: which views of a sample to evaluate. To add one, write a file in core/evaluate/protocols that
/// defines it and a `const Registration<Protocol>` for it.
class Protocol {
 public:
  virtual ~Protocol() = default;
  /// Declares its own options.
  virtual void declare(Settings& /*settings*/) {}
  /// Returns at least one pass, for a network with inputs of input_size x input_size. A sample's views are in the order of the
  /// passes.
  virtual std::vector<EvaluationPass> passes(int64_t input_size) const = 0;
};

/// The views of a sample in all passes.
int64_t count_views(const Protocol& protocol, int64_t input_size);

/// Computes the `scores` [classes] of a sample from the `logits` [views, classes] of its views. The sample's loss is the cross
/// entropy of softmax(scores), its top class the one with the highest score.
/// logits: scores[c] = mean over views v of logits[v, c].
/// softmax: scores[c] = log of the mean over views v of softmax(logits[v])[c]; the logits themselves if there is one view.
void average_views(Average average, std::span<const float> logits, std::span<float> scores);

/// The evaluation settings.
struct EvaluationOptions {
  std::string protocol = "center";  // registered name
  Kinds<Protocol> protocols = {};   // with their own options
  Average average = Average::softmax;

  const Protocol& chosen() const { return protocols.at("protocol", protocol); }
};

void declare(Settings& settings, EvaluationOptions& options);

}  // namespace residua
