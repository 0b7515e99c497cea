#pragma once

#include <memory>

#include "core/evaluate/metrics.h"
#include "core/train/run_observer.h"
#include "core/train/training.h"

namespace residua {

/// Actions other than training.

/// Evaluates a network with the weights of a file on a set of images. Notes unreadable images. Fails if none could be read.
Metrics evaluate_weights(const Safetensors& file, Network& network, const std::shared_ptr<const ImageSource>& images,
                         const RunConfig& config, Device device, DType precision, RunObserver& observer);

/// Trains on the first batch only, at the peak learning rate, and notes the loss every log-every iterations. Returns the last
/// loss, which should approach zero. Fails if it is not finite.
double overfit_batch(Network& network, std::shared_ptr<const ImageSource> train, const RunConfig& config, Device device,
                     DType precision, int64_t iterations, RunObserver& observer);

/// Measures the images per second of the training loader alone over one epoch.
double loader_speed(std::shared_ptr<const ImageSource> train, const RunConfig& config, const InputDescription& input,
                    Device device, RunObserver& observer);

}  // namespace residua
