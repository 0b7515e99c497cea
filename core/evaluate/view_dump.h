#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/evaluate/evaluation_observer.h"
#include "core/io/safetensors.h"

namespace residua {

/// Keeps what the network sees in an evaluation, in host memory, for comparison with other programs.
class ViewDump final : public EvaluationObserver {
 public:
  static constexpr int64_t kMostBytes = int64_t{2} << 30;

  /// `channels`: the first ones of the network's input, which come from the image.
  explicit ViewDump(int64_t channels, int64_t most_bytes = kMostBytes) : channels_(channels), most_bytes_(most_bytes) {}

  /// Fails with UsageError if the views take more than the limit.
  void saw(std::span<const int64_t> samples, size_t pass, const Tensor& x) override;
  void scored(std::span<const int64_t> samples, std::span<const int32_t> labels, std::span<const float> scores) override;

  /// Writes a safetensors file: "indices" i64 [images] in the source, "labels" i32 [images], and for each image and pass
  /// "views.I.P" f32 [views, height, width, channels] after normalization, with I its place in `indices`. Images that could not
  /// be read are left out.
  void write(const std::string& path, const SafetensorsMetadata& metadata) const;

 private:
  const int64_t channels_;
  const int64_t most_bytes_;
  int64_t bytes_ = 0;
  std::vector<int64_t> indices_;
  std::vector<int32_t> labels_;
  std::vector<HostArray> views_;                   // of images with labels
  std::vector<std::vector<HostArray>> unlabeled_;  // by pass: the samples of the batch whose scores come next
};

}  // namespace residua
