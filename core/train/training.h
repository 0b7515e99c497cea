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

/// All that trains a network: its initialized parameters, the optimizer and the training step.
class Training {
 public:
  /// The network must outlive this, and so must `ranks`, which train together.
  Training(Network& network, const RunConfig& config, Device device, DType precision, Communicator* ranks = nullptr);

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

/// Batches per epoch over `images` training images. With shuffling, an incomplete last batch is dropped.
int64_t batches_per_epoch(int64_t images, const RunConfig& config);
/// Whether the last of them is incomplete.
bool last_batch_incomplete(int64_t images, const RunConfig& config);

/// Makes the training loader for a network's input: augmented, and shuffled unless the settings say otherwise. Unreadable
/// images are replaced by others. Of several ranks, loads one's parts of the batches.
std::unique_ptr<Loader> training_loader(std::shared_ptr<const ImageSource> source, const RunConfig& config,
                                        const InputDescription& input, Device device, const Communicator& ranks = OneProcess());

/// The images of a rank in a batch of exact_statistics_loader().
int64_t exact_batch(const TrainingOptions& options);
/// Makes the loader of the images of exact-bn, for compute_exact_statistics(): augmented as in training, in batches as large as
/// a pass of a training step, or a little smaller so that the last one is not much smaller. An epoch has whole batches alone,
/// if it has one.
std::unique_ptr<Loader> exact_statistics_loader(std::shared_ptr<const ImageSource> source, const RunConfig& config,
                                                const InputDescription& input, Device device,
                                                const Communicator& ranks = OneProcess());

/// Makes the loader for an evaluation by the settings' protocol: each image once; unreadable images are ignored and recorded in
/// `errors` (null: its own). `config` must outlive it.
std::unique_ptr<EvaluationLoader> evaluation_loader(const std::shared_ptr<const ImageSource>& source, const RunConfig& config,
                                                    int64_t input_size, Device device, std::shared_ptr<DataErrors> errors = {});

/// A rank's part in the evaluation of a set of images.
struct EvaluationPart {
  std::unique_ptr<EvaluationLoader> loader;  // null if the rank has no images
  std::shared_ptr<DataErrors> errors;        // with the limits of the whole set, for merge_errors(); null without a set
};
/// The part of a rank that evaluates `images` by evaluation_loader(). They may be null: no set.
EvaluationPart evaluation_part(const std::shared_ptr<const ImageSource>& images, const RunConfig& config, int64_t input_size,
                               Device device, const Communicator& ranks);

}  // namespace residua
