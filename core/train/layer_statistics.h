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

/// One convolution with the batch normalization behind it.
struct LayerStatistics {
  std::string name;          // of the convolution: "layer1.0.conv1"
  int64_t kernel = 0;        // height and width
  double response_std = 0;   // of what the normalization puts out, before addition and ReLU, over images, pixels and channels
  double gradient_norm = 0;  // Euclidean norm of dLoss/dWeights, mean over the batches
  double weight_norm = 0;    // of the weights
};

struct NetworkStatistics {
  int64_t iteration = 0;  // of the weights; 0: the first ones
  int64_t batches = 0;
  int64_t batch_size = 0;
  double loss = 0;                           // mean over the batches
  std::vector<LayerStatistics> layers = {};  // in the order of execution
};

/// Runs the network forward and backward in training mode, without an update, over the first batches of the first epoch of
/// training images: He et al. 2015, Figure 7, and section 4.1 on gradients. The weights are those of the settings' file, or the
/// first ones. The deviation of a response comes from the batch statistics: a normalized channel with gamma g, beta b and batch
/// variance v has mean b and variance g^2 v / (v + epsilon). The gradient of an overflow is not finite. Fails when the set has
/// no batch, and when a response or a weight is not finite.
NetworkStatistics measure_layers(Network& network, const std::shared_ptr<const ImageSource>& train, const RunConfig& config,
                                 Device device, DType precision, int64_t batches, RunObserver& observer);

/// {"format", "model", "iteration", "batches", "batch_size", "loss", "layers": [{"name", "kernel", "response_std",
/// "gradient_norm", "weight_norm"}]}. A gradient that is not finite is null.
nlohmann::ordered_json to_json(const NetworkStatistics& statistics, const Network& network);

}  // namespace residua
