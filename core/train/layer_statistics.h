#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "core/data/source.h"
#include "core/train/run_config.h"
#include "core/train/run_observer.h"
#include "models/network.h"

namespace residua {

/// Statistics of a convolution and the batch normalization after it.
struct LayerStatistics {
  std::string name;          // of the convolution: "layer1.0.conv1"
  int64_t kernel = 0;        // side of the kernel
  double response_std = 0;   // std of the normalization's output, before addition and ReLU, over images, pixels and channels
  double gradient_norm = 0;  // L2 norm of dLoss/dWeights, mean over the batches
  double weight_norm = 0;    // L2 norm of the weights
};

struct NetworkStatistics {
  int64_t iteration = 0;  // of the weights; 0: initial weights
  int64_t batches = 0;
  int64_t batch_size = 0;
  double loss = 0;                           // mean over the batches
  std::vector<LayerStatistics> layers = {};  // in execution order
};

/// Runs the network forward and backward in training mode, without updates, over the first batches of the first epoch: the
/// data of He et al. 2015, Figure 7, and of section 4.1 on gradients. The weights come from the file in the settings, or are
/// the initial ones. The standard deviation of a response follows from the batch statistics: a normalized channel with gamma
/// g, beta b and batch variance v has mean b and variance g^2 v / (v + epsilon). A gradient that overflows has a norm that is
/// not finite. Fails if there is no batch, or if a response or a weight is not finite.
NetworkStatistics measure_layers(Network& network, const std::shared_ptr<const ImageSource>& train, const RunConfig& config,
                                 Device device, DType precision, int64_t batches, RunObserver& observer);

/// {"format", "model", "iteration", "batches", "batch_size", "loss", "layers": [{"name", "kernel", "response_std",
/// "gradient_norm", "weight_norm"}]}. A gradient that is not finite is null.
nlohmann::ordered_json to_json(const NetworkStatistics& statistics, const Network& network);

}  // namespace residua
