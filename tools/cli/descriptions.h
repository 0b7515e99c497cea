#pragma once

#include <optional>
#include <string>

#include "core/train/run_setup.h"
#include "models/network.h"
#include "tools/cli/train_command.h"

namespace residua {

/// What a command prints that needs no data: the models or the recipes, a line each, or the layers of a network whose data
/// are not named. Nothing for any other command.
std::optional<std::string> text_without_data(TrainCommand& command);
/// The network's layers, shapes, parameters and FLOPs.
std::string layers_of(const Network& network);
/// "resnet18 (11.69 M parameters, 1.82 G multiply-adds an image) on 1000 images, 10 classes, 224x224 px".
std::string headline(const Network& network, const std::string& images);
/// "45000 training, 5000 validation and 10000 test".
std::string images_of(const RunData& data);
/// "bf16 on cpu, 2 threads, global batch size 128, 2 loader threads".
std::string headline(const RunConfig& run, Device device, DType precision);

}  // namespace residua
