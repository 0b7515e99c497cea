#pragma once

#include <csignal>
#include <memory>
#include <optional>
#include <string>

#include "core/data/loader.h"
#include "core/data/statistics.h"
#include "core/evaluate/evaluator.h"
#include "core/io/safetensors.h"
#include "core/nn/module.h"
#include "core/train/run_state.h"
#include "core/train/train_options.h"
#include "core/train/train_step.h"

namespace residua {

/// What a run is made of, besides its options.
struct TrainerSetup {
  Module* model;           // must outlive the trainer
  std::string model_name;  // with its options, as checkpoints name it: "resnet34, shortcut A, ..."
  int64_t input_channels;  // of the tensor that the model takes
  Device device;
  DType precision;
  TrainOptions options;                           // with all defaults filled in
  std::shared_ptr<const ImageSource> train, val;  // `train` may be null for validation alone
  InputStatistics statistics;                     // in units of a byte; a mean image is as large as the crop
  std::string classifier;                         // what the names of the classifier's weights begin with: "fc."
  SafetensorsMetadata metadata;                   // for the files of weights
};

/// A training run: epochs over a loader, validation, logs, curves and checkpoints in the output folder.
class Trainer {
 public:
  explicit Trainer(TrainerSetup setup);

  /// Trains to the end, or until `*stop` is not 0 (a signal's number): then the state is saved and the number returned.
  /// Otherwise 0.
  int train(const volatile std::sig_atomic_t& stop);
  /// Trains on the first batch alone for `iterations` steps; returns the last loss.
  double overfit_batch(int64_t iterations);
  /// Over the whole validation split. Fails when none of it could be read.
  Metrics validate();
  /// Of validate().
  DataErrors& validation_errors() { return val_loader_->errors(); }
  /// One epoch of the training loader alone; returns images per second.
  double loader_speed();

  ParameterStore& store() { return store_; }

 private:
  class Reporter;

  Loader make_train_loader() const;
  int64_t total_iterations(const Loader& loader) const;
  std::string path(const std::string& file) const { return setup_.options.output + "/" + file; }
  /// Of the steps since the last call. Fails when their loss is not finite: the weights are lost then, and must not be saved.
  Metrics training_metrics(const RunState& state);
  /// Nothing if `stop` came to be other than 0 before it was done.
  std::optional<Metrics> validate(const volatile std::sig_atomic_t& stop);
  void begin_with_weights(const std::string& path);
  bool resume(RunState& state);
  /// `what` has happened to numbers: there is nothing to save.
  [[noreturn]] void fail_diverged(const std::string& what, const RunState& state) const;
  void save(const RunState& state, bool best) const;

  TrainerSetup setup_;
  ParameterStore store_;
  Sgd sgd_;
  TrainStep step_;
  Evaluator evaluator_;
  std::unique_ptr<Loader> val_loader_;
};

}  // namespace residua
