#pragma once

#include <memory>

#include "core/evaluate/metrics.h"
#include "core/train/run_observer.h"
#include "core/train/training.h"

namespace residua {

/// What else can be done with a run's parts besides a run.

/// The metrics of a network with weights from a file over a set of images. Images that could not be read are told as notes.
/// Fails when none could be read.
Metrics evaluate_weights(const Safetensors& file, Network& network, const std::shared_ptr<const ImageSource>& images,
                         const RunConfig& config, Device device, DType precision, RunObserver& observer);

/// Trains on the first batch alone, at the highest learning rate, and notes the loss as often as the settings say. Returns the
/// last loss, which goes to zero where all is well. Fails when it is not finite.
double overfit_batch(Network& network, std::shared_ptr<const ImageSource> train, const RunConfig& config, Device device,
                     DType precision, int64_t iterations, RunObserver& observer);

/// Images per second of the training loader alone, over one epoch.
double loader_speed(std::shared_ptr<const ImageSource> train, const RunConfig& config, int64_t input_size, Device device,
                    RunObserver& observer);

}  // namespace residua
