#pragma once

#include <cstdint>
#include <functional>
#include <new>
#include <string>

#include "core/base/error.h"
#include "core/base/host_memory.h"
#include "core/train/training.h"

namespace residua {

/// A number of images, below `images`, for which `pass` does not run out of memory, found by halving; 0 if not even one fits.
/// An estimate: a pass is tried with an eighth more images, because a run needs a little memory besides.
int64_t images_that_fit(int64_t images, const std::function<void(int64_t images)>& pass);

/// ": a pass of about 64 images fits; set batch-size to 64, or accumulate to 4 for the same step in 4 passes", if passes of
/// `images` images fit on each rank. The batch size is that of all ranks together.
std::string batch_advice(const TrainingOptions& options, int64_t images);

/// batch_advice() on what fits. Tries forward and backward passes of a training, on meaningless images. Discards the gradients,
/// and leaves parameters and running statistics as they are. Asks no other rank.
std::string fitting_batch(Training& training, const RunConfig& config);
/// The same for an evaluation, which computes no gradients.
std::string fitting_batch(Network& network, const RunConfig& config, Device device, DType precision);

/// Returns what `work` returns. If it runs out of memory, throws OutOfMemory whose message ends with that of `advice`.
template <class Work, class Advice>
auto with_advice(const Work& work, const Advice& advice) {
  try {
    return work();
  } catch (const OutOfMemory& error) {
    throw OutOfMemory(error.what() + advice());
  } catch (const std::bad_alloc&) {
    throw OutOfMemory("out of memory on the host: " + describe_shortage(0, host_memory()) + advice());
  }
}

}  // namespace residua
