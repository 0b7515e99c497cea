#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/data/source.h"
#include "core/io/safetensors.h"
#include "core/train/run_config.h"
#include "models/network.h"

namespace residua {

/// The images of a run.
struct RunData {
  std::shared_ptr<const ImageSource> train;
  std::shared_ptr<const ImageSource> validation;
  std::shared_ptr<const ImageSource> test = {};  // null unless training images are held out for validation

  /// Whether images have many sizes.
  bool photos() const { return !train->fixed_size(); }
};

/// Opens both splits of the data set. With a holdout, the validation split is the test set, and that many training images, the
/// same in every run, are the validation set. Fails with UsageError when no set was named, when it cannot be found, when the
/// two splits have other classes and when no training image is left.
RunData open_data(const RunConfig& config);
/// `count` of the images, spread evenly over the set: the same each time. Null for 0; all where there are no more.
std::shared_ptr<const ImageSource> clean_images(const std::shared_ptr<const ImageSource>& train, int64_t count);
/// One split alone.
std::shared_ptr<const ImageSource> open_split(const RunConfig& config, Split split);

/// Fills in what the data decide: the recipe, the size of the input and the output folder.
void settle_with_data(Settings& settings, RunConfig& config, const RunData& data);

/// The network that the settings name, for these classes, without its input's mean and deviation.
Network make_network(const RunConfig& config, const std::vector<std::string>& class_names, DType precision);

/// The mean and deviation of the network's input, as the settings say: given, ImageNet's, or measured over the training set.
/// Fails with UsageError on a mean image for images of another size.
void measure_input(const RunConfig& config, const ImageSource& train, InputDescription& input);

/// The network of a file of weights. What the settings give goes before what the file says.
Network network_of_weights(const Safetensors& file, const RunConfig& config, const Settings& settings, DType precision);

/// Fails with UsageError, which names them, where weights say that they were trained on other classes than these.
void check_classes(const Safetensors& file, const std::vector<std::string>& class_names);

/// Takes a run's first weights from its file, if it names one. Returns the iteration that the file says they are of, or 0.
/// Fails with UsageError, which names them, on other classes than the network's.
int64_t load_first_weights(const RunConfig& config, const Network& network, ParameterStore& store);

}  // namespace residua
