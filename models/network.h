#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/config/settings.h"
#include "core/data/statistics.h"
#include "core/device/device.h"
#include "core/io/safetensors.h"
#include "core/nn/module.h"
#include "core/ops/prepare_input.h"
#include "models/catalog.h"

namespace residua {

/// A network's input and the meaning of its outputs. The input is (pixel - mean) / std with pixels from 0 to 255; the default
/// is ImageNet's statistics, as torchvision's models expect.
struct InputDescription {
  int64_t size = 0;  // side in pixels; 0: the size that the model was designed for
  std::vector<float> mean = {kImageNetStatistics.mean.begin(), kImageNetStatistics.mean.end()};  // [3], or [size, size, 3]
  std::array<float, 3> std = kImageNetStatistics.std;                                            // of each channel
  std::optional<PrincipalColors> colors = {};  // of the training set, if they were measured
  std::vector<std::string> class_names = {};   // "class 7" if the classes have no names
  bool classes_named = false;                  // whether the classes have names
  bool turned_by_exif = false;                 // whether photos are turned as their EXIF data say
};

/// A network: the module, whose parameters have no memory yet; the family with the network's options; and the description of
/// its input.
struct Network {
  std::string name;
  std::unique_ptr<ModelFamily> family;
  std::unique_ptr<Module> module;
  InputDescription input;
  int64_t input_channels = 3;  // channels of the module's input tensor: red, green, blue, then zeros

  int64_t classes() const { return static_cast<int64_t>(input.class_names.size()); }
  /// "resnet34, shortcut A, end, stride, conv3x3, 10 classes": networks with the same text are the same.
  std::string description() const;
};

/// Makes a new network with as many classes as `input` names or, if it names none, as the model was designed for. Fails with
/// UsageError on an unknown model, on an option that the model does not have, and on an invalid input description.
Network make_network(const ModelOptions& options, InputDescription input, DType compute);

/// Overrides of a weights file's metadata.
struct NetworkOverrides {
  std::string model = {};                // empty: the file names it
  std::vector<Assignment> options = {};  // the family's options by setting name: {"shortcut", {"A"}}
  std::optional<std::vector<std::string>> class_names = {};
  std::optional<int64_t> size = {};
  std::optional<std::vector<float>> mean = {};
  std::optional<std::array<float, 3>> std = {};
  std::optional<bool> turned_by_exif = {};
};

/// Makes the network of a weights file; does not load the weights. Defaults, if neither the overrides nor the metadata say
/// otherwise, are those for torchvision's files, which have no metadata: the number of classes in the weights, the model's own
/// size, ImageNet's statistics. Fails with UsageError, which names the file, if nothing names the model or the values are
/// inconsistent.
Network network_from_weights(const Safetensors& file, const NetworkOverrides& overrides, DType compute);

/// Fails with UsageError, which names the option, unless the network in a weights file has the same options as `network`, as
/// far as the file's metadata say.
void check_stored_options(const Safetensors& file, const Network& network);

/// The class names in a weights file; empty if it has none.
std::vector<std::string> stored_class_names(const Safetensors& file);

/// The metadata to store with a network's weights; with input_arrays(), network_from_weights() recreates the network from it.
/// For a mean image, the metadata have the mean of each channel.
SafetensorsMetadata network_metadata(const Network& network);
/// The tensors to store with a network's weights: "input.mean" [size, size, 3] for a mean image.
std::vector<HostArray> input_arrays(const Network& network);
/// What a weights file says of the network's input, for one of size x size pixels; what it does not say is empty. Fails with
/// UsageError if the values are damaged.
struct StoredInput {
  std::optional<std::vector<float>> mean;  // [3] or [size, size, 3]
  std::optional<std::array<float, 3>> std;
  std::optional<PrincipalColors> colors;
};
StoredInput stored_input(const Safetensors& file, int64_t size);
/// The mean image in a safetensors file, for an input of size x size pixels; if the image has another size, the mean of each
/// channel. Empty if the file has none. Fails with UsageError if it is damaged.
std::vector<float> stored_mean_image(const Safetensors& file, int64_t size);

/// The input format for core/ops/prepare_input.h, on a device.
InputFormat input_format(const Network& network, DType compute, Device device);

}  // namespace residua
