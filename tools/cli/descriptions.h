#pragma once

#include <string>

#include "core/train/run_config.h"
#include "models/network.h"

namespace residua {

/// Every model's name and description, a line each.
std::string list_of_models();
/// Every recipe's, likewise.
std::string list_of_recipes();
/// The network's layers, shapes, parameters and FLOPs.
std::string layers_of(const Network& network);
/// "resnet18 (11.69 M parameters, 1.82 G multiply-adds an image) on 1000 images, 10 classes, 224x224 px".
std::string headline(const Network& network, const std::string& images);
/// "bf16 on cpu, 2 threads, global batch size 128, 2 loader threads".
std::string headline(const RunConfig& run, Device device, DType precision);

}  // namespace residua
