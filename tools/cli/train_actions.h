#pragma once

#include "core/train/run_setup.h"
#include "tools/cli/progress.h"
#include "tools/cli/train_command.h"

namespace residua {

/// --evaluate: evaluates the weights of --weights on the images of --evaluate-on. Several ranks each evaluate a part.
void evaluate(TrainCommand& command, Device device, DType precision, Progress& progress, Communicator& ranks);

/// --exact-weights: writes the weights of --weights with exact batch-norm statistics.
void write_exact_weights(TrainCommand& command, Device device, DType precision, Progress& progress);

/// Performs the command's action on its data, if it asks for one; returns whether it did.
bool act_on_data(TrainCommand& command, const RunData& data, Network& network, Device device, DType precision,
                 Progress& progress);

}  // namespace residua
