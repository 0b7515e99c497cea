#pragma once

#include <cstdint>
#include <vector>

namespace residua {

struct SamplerOptions {
  int64_t size = 0;  // samples in the source
  uint64_t seed = 0;
  bool shuffle = true;
};

/// The order in which an epoch visits the samples. It depends only on (seed, epoch): a Fisher-Yates shuffle with Philox random
/// numbers, the same on every platform.
class Sampler {
 public:
  /// Fails with UsageError unless size >= 1.
  explicit Sampler(SamplerOptions options);

  /// The sample indices of an epoch, in order.
  std::vector<int64_t> order(int64_t epoch) const;
  /// The length of order().
  int64_t size() const { return options_.size; }

 private:
  SamplerOptions options_;
};

}  // namespace residua
