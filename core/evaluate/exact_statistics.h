#pragma once

#include <cstdint>
#include <functional>

#include "core/data/loader.h"
#include "core/distributed/communicator.h"
#include "core/nn/module.h"
#include "core/nn/parameter_store.h"
#include "core/ops/prepare_input.h"

namespace residua {

/// Replaces the running statistics of all batch normalizations, which are averages over the last steps of training, by exact
/// ones over `images` training images: the mean E[x] and the variance E[x^2] - E[x]^2 of each channel of the input x of a
/// normalization. The network runs as in training, normalized by the statistics of each batch of the loader, in all layers at
/// once. Sums are in double precision. He et al. 2015 evaluate networks this way, by their release notes.
///
/// Takes the first images of the loader's first epoch, and those of the next epochs if one has too few. Of several ranks, each
/// takes its part of the loader's batches. Calls `stop` before each batch; once it is true on a rank, changes nothing and
/// returns false. Fails with Error, and changes nothing, if a statistic is not
/// finite.
bool compute_exact_statistics(Module& model, ParameterStore& store, InputFormat input, Loader& loader, int64_t images,
                              const std::function<bool()>& stop, Communicator* ranks = nullptr);

}  // namespace residua
