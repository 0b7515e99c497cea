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

/// What a network takes and what its outputs mean. The input is (pixel - mean) / std, in units of a byte; by default with
/// ImageNet's statistics, as torchvision's models expect them.
struct InputDescription {
  int64_t size = 0;  // pixels a side; 0: as the model was designed for
  std::vector<float> mean = {kImageNetStatistics.mean.begin(), kImageNetStatistics.mean.end()};  // [3], or [size, size, 3]
  std::array<float, 3> std = kImageNetStatistics.std;                                            // of each channel
  std::vector<std::string> class_names = {};  // "class 7" where nothing names them
  bool classes_named = false;                 // whether something does
};

/// A network: the module, whose parameters have no memory yet; the family with the options that it was made with; and the
/// description of its input.
struct Network {
  std::string name;
  std::unique_ptr<ModelFamily> family;
  std::unique_ptr<Module> module;
  InputDescription input;
  int64_t input_channels = 3;  // of the tensor that the module takes: red, green, blue and then zeros

  int64_t classes() const { return static_cast<int64_t>(input.class_names.size()); }
  /// "resnet34, shortcut A, end, stride, conv3x3, 10 classes": two runs with one text have one network.
  std::string description() const;
};

/// A new network. It has as many classes as `input` has names for, or as many as the model was designed for. Fails with
/// UsageError on an unknown model, on an option that it does not have, and on an input that cannot be.
Network make_network(const ModelOptions& options, InputDescription input, DType compute);

/// What goes before that which a file of weights says.
struct NetworkOverrides {
  std::string model = {};                // empty: the file says
  std::vector<Assignment> options = {};  // of its family, by the names of their settings: {"shortcut", {"A"}}
  std::optional<std::vector<std::string>> class_names = {};
  std::optional<int64_t> size = {};
  std::optional<std::vector<float>> mean = {};
  std::optional<std::array<float, 3>> std = {};
};

/// The network that a file holds the weights of; they are not loaded. What neither the overrides nor the file's metadata say is
/// as for torchvision's files, which say nothing: the number of classes from the weights, the model's own size, ImageNet's
/// statistics. Fails with UsageError, which names the file, when nothing says which model it is, or when what is said does not
/// fit together.
Network network_from_weights(const Safetensors& file, const NetworkOverrides& overrides, DType compute);

/// A network's metadata for files of weights, from which network_from_weights() makes it again. A mean image is text here like
/// all the rest: one more tensor in the file would make PyTorch's load_state_dict(strict=True) refuse it.
SafetensorsMetadata network_metadata(const Network& network);

/// The input as core/ops/prepare_input.h makes it, on a device.
InputFormat input_format(const Network& network, DType compute, Device device);

/// One name a line, in the order of the labels; a byte order mark is dropped.
std::vector<std::string> read_class_names(const std::string& path);

}  // namespace residua
