#pragma once

#include "core/train/run_setup.h"
#include "tools/cli/progress.h"
#include "tools/cli/train_command.h"

namespace residua {

/// --evaluate: the weights of the settings' file on the images of --evaluate-on.
void evaluate(TrainCommand& command, Device device, DType precision, Progress& progress);

/// Does the action that a command asks for on its opened data, if it does; returns whether it did.
bool act_on_data(TrainCommand& command, const RunData& data, Network& network, Device device, DType precision,
                 Progress& progress);

}  // namespace residua
