#pragma once

#include <cstdint>

#include "core/train/run_config.h"

namespace residua {

/// Fails with UsageError on settings of training that contradict each other, or that do not fit a training set of `images`
/// images.
void check_training(const RunConfig& config, int64_t images);

}  // namespace residua
