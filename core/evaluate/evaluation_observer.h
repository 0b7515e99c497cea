#pragma once

#include <cstdint>
#include <span>

#include "core/tensor/tensor.h"

namespace residua {

/// Watches an evaluation. `samples` are indices in the source; a batch comes once per pass, then its scores.
class EvaluationObserver {
 public:
  virtual ~EvaluationObserver() = default;
  /// Called with what the network sees in one pass: x [samples * views, height, width, channels], a sample's views in sequence.
  virtual void saw(std::span<const int64_t> /*samples*/, size_t /*pass*/, const Tensor& /*x*/) {}
  /// Called with the labels [samples] and the scores [samples, classes] of a batch. The label of a sample that could not be
  /// read is negative, and its scores mean nothing.
  virtual void scored(std::span<const int64_t> /*samples*/, std::span<const int32_t> /*labels*/,
                      std::span<const float> /*scores*/) {}
};

}  // namespace residua
