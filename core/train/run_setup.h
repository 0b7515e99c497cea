#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/data/source.h"
#include "core/io/safetensors.h"
#include "core/train/run_config.h"
#include "models/network.h"

namespace residua {

/// The data of a run.
struct RunData {
  std::shared_ptr<const ImageSource> train;
  std::shared_ptr<const ImageSource> validation;
  std::shared_ptr<const ImageSource> test = {};  // null unless training images are held out for validation

  /// Whether image sizes vary.
  bool photos() const { return !train->fixed_size(); }
};

/// Opens both splits of the data set. With a holdout, the validation split becomes the test set, and the given number of
/// training images, the same ones in every run, become the validation set. Fails with UsageError if no data set was named or it
/// cannot be found, if the classes of the splits differ, or if no training images are left.
RunData open_data(const RunConfig& config);
/// `count` images spread evenly over the set, always the same ones. Null for 0; the whole set if it has no more.
std::shared_ptr<const ImageSource> clean_images(const std::shared_ptr<const ImageSource>& train, int64_t count);
/// Opens one split.
std::shared_ptr<const ImageSource> open_split(const RunConfig& config, Split split);

/// Sets what depends on the data: the recipe, the input size and the output folder. Fails with UsageError on settings of
/// training that contradict each other.
void settle_with_data(Settings& settings, RunConfig& config, const RunData& data);

/// Makes the network in the settings for these classes, without the mean and standard deviation of its input.
Network make_network(const RunConfig& config, const std::vector<std::string>& class_names, DType precision);

/// Sets the mean, the standard deviation and the colors of the network's input as the settings say: given, ImageNet's, or
/// measured over the training set, by several ranks together. The statistics of images whose sizes vary are kept in
/// cache_folder() for the next run. Fails with UsageError if a file of the settings has no mean image.
void measure_input(const RunConfig& config, const std::shared_ptr<const ImageSource>& train, InputDescription& input,
                   const MeasureProgress& progress = {}, Communicator* ranks = nullptr);

/// Sets the input of a run. A run that goes on has the mean, the standard deviation and the colors of its checkpoint (of the
/// weights beside one of an older format), unless the command line gives others. A run that starts from weights has the mean
/// and the standard deviation in their file, if they are there, unless the settings give others. All else is that of
/// measure_input().
void settle_input(const Settings& settings, const RunConfig& config, const std::string& checkpoint,
                  const std::shared_ptr<const ImageSource>& train, InputDescription& input, const MeasureProgress& progress,
                  Communicator* ranks = nullptr);

/// Makes the network of a weights file. The settings override the file's metadata.
Network network_of_weights(const Safetensors& file, const RunConfig& config, const Settings& settings, DType precision);

/// The iteration in a weights file's metadata, or 0.
int64_t iteration_of(const Safetensors& file);

/// Loads the initial weights from the file in the settings, if there is one; all but the classifier if the settings reset it.
/// Returns the iteration in the file's metadata, or 0. Fails with UsageError, which names the difference, if the weights are of
/// a network with other options, or of one trained on other classes.
int64_t load_first_weights(const RunConfig& config, const Network& network, ParameterStore& store);

}  // namespace residua
