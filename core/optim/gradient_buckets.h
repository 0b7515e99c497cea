#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "core/distributed/communicator.h"
#include "core/nn/parameter_store.h"

namespace residua {

/// The size of the buckets of a store in bytes: `most`, but small networks too have several, so that sums start before the end
/// of the backward pass.
int64_t bucket_bytes(const ParameterStore& store, int64_t most);

/// Sums the gradients of all ranks while backward() still computes. A bucket is a range of a gradient arena. Its sum starts as
/// soon as its last gradient is there. Backward runs from the last layer to the first, and so do the buckets. Li et al. 2020,
/// PyTorch Distributed, section 3.2.
class GradientBuckets {
 public:
  /// Buckets of at least `bytes`, but for the first layers'. The store must outlive this, and have frozen what it freezes.
  GradientBuckets(ParameterStore& store, Communicator& communicator, int64_t bytes);

  /// Call this when backward() has written the last gradient of a leaf in this step.
  void complete(const AutogradMeta& leaf);
  /// Call this after the step's last backward(). Work queued on the compute stream from now on sees the sums. Fails if a
  /// gradient is missing.
  void finish();

  /// A range of a gradient arena.
  struct Bucket {
    Tensor gradients;
    int64_t parameters = 0;  // in it
    int64_t missing = 0;     // of these, in this step
  };
  /// In the order in which they are summed.
  const std::vector<Bucket>& buckets() const { return buckets_; }

 private:
  Communicator& communicator_;
  std::vector<Bucket> buckets_;
  std::unordered_map<const AutogradMeta*, size_t> bucket_of_;
  size_t next_ = 0;  // the first bucket whose sum has not started
};

}  // namespace residua
