#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/data/views/view.h"
#include "core/nn/parameter_store.h"
#include "core/ops/prepare_input.h"
#include "models/network.h"

namespace residua {

struct InferenceOptions {
  std::string weights = {};  // safetensors file, from Residua or torchvision
  NetworkOverrides overrides = {};
  Device device = {};
};

struct Prediction {
  int64_t class_index = 0;
  std::string class_name;  // "class 7" if the classes have no names
  double probability = 0;
};

/// A trained network that classifies image files.
class Inference {
 public:
  /// Fails with UsageError, which names the file, if the weights do not fit the model, or if neither the overrides nor the file
  /// names the model.
  explicit Inference(const InferenceOptions& options);

  /// Returns the `count` most probable classes of an image file, best first, from the evaluation view (resize the shorter side,
  /// center crop). Fails, naming the file, if it cannot be decoded or if the network's output is not finite.
  std::vector<Prediction> classify(const std::string& image_file, int64_t count);

  const Network& network() const { return network_; }

 private:
  Network network_;
  std::unique_ptr<ParameterStore> store_;
  std::unique_ptr<const ViewPolicy> window_;
  InputFormat format_;
};

}  // namespace residua
