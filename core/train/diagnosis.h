#pragma once

#include <string>

#include "core/train/training.h"

namespace residua {

/// Runs a training step on a batch once, kernel by kernel and without an update, and says where numbers stop being finite: "the
/// first output that is not finite is that of layer2.0.conv1 (conv2d); the first gradient is that of fc.weight". The step is
/// that of the current weights and loss scale. Also names weights that are not finite, or large. Discards all gradients.
/// Asks no other rank: norms that are to be those of all ranks are those of this one's part of the batch.
std::string where_not_finite(Training& training, const RunConfig& config, const Batch& batch);

}  // namespace residua
