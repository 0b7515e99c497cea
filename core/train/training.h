#pragma once

#include <memory>

#include "core/data/loader.h"
#include "core/evaluate/evaluation_loader.h"
#include "core/nn/parameter_store.h"
#include "core/optim/grad_scaler.h"
#include "core/optim/sgd.h"
#include "core/train/run_config.h"
#include "core/train/train_step.h"
#include "models/network.h"

namespace residua {

/// What trains a network: its parameters with their first values, the optimizer and the step.
class Training {
 public:
  /// The network must outlive this.
  Training(Network& network, const RunConfig& config, Device device, DType precision);

  const Network& network() const { return network_; }
  ParameterStore& store() { return store_; }
  GradScaler& scaler() { return scaler_; }
  TrainStep& step() { return step_; }
  Device device() const { return store_.options().device; }
  DType precision() const { return store_.options().compute; }

 private:
  Network& network_;
  ParameterStore store_;
  GradScaler scaler_;
  Sgd sgd_;
  TrainStep step_;
};

/// Batches of an epoch over so many training images: the last one is left out where the order is drawn anew each epoch.
int64_t batches_per_epoch(int64_t images, const RunConfig& config);

/// The loader of training images for inputs of `input_size` pixels a side: augmented, and shuffled unless the settings say
/// otherwise. Another image takes the place of one that cannot be read.
std::unique_ptr<Loader> training_loader(std::shared_ptr<const ImageSource> source, const RunConfig& config, int64_t input_size,
                                        Device device);

/// The loader of images to evaluate on by the settings' protocol: each once; those that cannot be read do not count. `config`
/// must outlive it.
std::unique_ptr<EvaluationLoader> evaluation_loader(const std::shared_ptr<const ImageSource>& source, const RunConfig& config,
                                                    int64_t input_size, Device device);

}  // namespace residua
