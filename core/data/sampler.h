#pragma once

#include <cstdint>
#include <vector>

namespace residua {

struct SamplerOptions {
  int64_t size = 0;  // samples in the source
  uint64_t seed = 0;
  bool shuffle = true;
  int64_t rank = 0;   // of this process
  int64_t world = 1;  // number of processes that share the epoch
};

/// The order in which an epoch visits the samples. It depends only on (seed, epoch): a Fisher-Yates shuffle with Philox random
/// numbers, the same on every platform. Rank r takes positions r, r + world, r + 2 world, ... of that order; the ranks' sizes
/// differ by at most one sample.
class Sampler {
 public:
  /// Fails with UsageError unless size >= 1 and 0 <= rank < world.
  explicit Sampler(SamplerOptions options);

  /// This rank's sample indices of an epoch, in order.
  std::vector<int64_t> order(int64_t epoch) const;
  /// The length of order(), the same each epoch.
  int64_t size() const;

 private:
  SamplerOptions options_;
};

}  // namespace residua
