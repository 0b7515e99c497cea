#pragma once

#include <memory>
#include <string>

#include "core/evaluate/evaluator.h"
#include "core/evaluate/metrics.h"
#include "core/train/run_observer.h"
#include "core/train/training.h"

namespace residua {

/// Actions other than training.

/// The images with the labels that their classes have in the network of a weights file: a class keeps its name, and the images
/// need not have all classes. Fails with UsageError on classes that the network does not know, and on another number of classes
/// if the network's have no names.
std::shared_ptr<const ImageSource> images_for(const Safetensors& file, const Network& network,
                                              std::shared_ptr<const ImageSource> images);

/// Evaluates a network with the weights of a file on a set of images, and tells `observers`. Notes unreadable images. Fails if
/// none could be read. Of several ranks, each evaluates its part, and all get the metrics of the whole.
Metrics evaluate_weights(const Safetensors& file, Network& network, const std::shared_ptr<const ImageSource>& images,
                         const RunConfig& config, Device device, DType precision, RunObserver& observer,
                         Evaluator::Observers observers = {}, Communicator* ranks = nullptr);

/// Computes the batch-norm statistics of a network with the weights of a file anew, over as many training images as the setting
/// exact-bn says (core/evaluate/exact_statistics.h), and writes the weights to `path`. Their metadata says so. The settings
/// bn-group, batch-size, accumulate and freeze-until should be those of the training. Fails with UsageError if exact-bn is 0.
void write_exact_weights(const Safetensors& file, Network& network, const std::shared_ptr<const ImageSource>& train,
                         const RunConfig& config, Device device, DType precision, const std::string& path,
                         RunObserver& observer);

/// Trains on the first batch only, at the peak learning rate, and notes the loss every log-every iterations. Returns the last
/// loss, which should approach zero. Fails if it is not finite.
double overfit_batch(Network& network, std::shared_ptr<const ImageSource> train, const RunConfig& config, Device device,
                     DType precision, int64_t iterations, RunObserver& observer);

/// Measures the images per second of the training loader alone over one epoch. If the loader finds the number of its threads,
/// it does so before, and the number is noted.
double loader_speed(std::shared_ptr<const ImageSource> train, const RunConfig& config, const InputDescription& input,
                    Device device, RunObserver& observer);

}  // namespace residua
