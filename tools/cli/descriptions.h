#pragma once

#include <optional>
#include <string>

#include "core/train/run_setup.h"
#include "models/network.h"
#include "tools/cli/train_command.h"

namespace residua {

/// The output of commands that need no data: the list of models, the list of recipes, or the layers of a network if no data set
/// was named. Nothing for other commands.
std::optional<std::string> text_without_data(TrainCommand& command);
/// The network's layers, shapes, parameters and FLOPs.
std::string layers_of(const Network& network);
/// "resnet18 (11.69 M parameters, 1.82 G multiply-adds per image) on 1000 images, 10 classes, 224x224 px".
std::string headline(const Network& network, const std::string& images);
/// "45000 training, 5000 validation and 10000 test".
std::string images_of(const RunData& data);
/// "bf16 on cpu, 2 threads, global batch size 128, 2 loader threads".
std::string headline(const RunConfig& run, Device device, DType precision);

}  // namespace residua
