#pragma once

#include <cstdint>
#include <vector>

namespace residua {

struct SamplerOptions {
  int64_t size = 0;  // of the source
  uint64_t seed = 0;
  bool shuffle = true;
  int64_t rank = 0;   // of this process
  int64_t world = 1;  // processes that share the epoch
};

/// The order in which an epoch visits the samples. It depends on (seed, epoch) alone: a Fisher-Yates shuffle with Philox
/// numbers, the same on every platform. Of that one order, rank r takes positions r, r + world, r + 2 world, ...; shares differ
/// by at most one sample.
class Sampler {
 public:
  /// Fails with UsageError on a size, rank or world that makes no sense.
  explicit Sampler(SamplerOptions options);

  /// This rank's sample indices of an epoch, in order.
  std::vector<int64_t> order(int64_t epoch) const;
  /// The length of order(), the same each epoch.
  int64_t size() const;

 private:
  SamplerOptions options_;
};

}  // namespace residua
