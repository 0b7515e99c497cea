#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/data/augment.h"
#include "core/nn/parameter_store.h"
#include "core/ops/prepare_input.h"
#include "models/network.h"

namespace residua {

struct InferenceOptions {
  std::string weights = {};  // safetensors file, ours or torchvision's
  NetworkOverrides overrides = {};
  Device device = {};
};

struct Prediction {
  int64_t class_index = 0;
  std::string class_name;  // "class 7" when nothing names the classes
  double probability = 0;
};

/// A trained network with all it takes to name what an image shows.
class Inference {
 public:
  /// Fails with UsageError, which names the file, when the weights do not fit the model, or when neither the overrides nor the
  /// file say which model it is.
  explicit Inference(const InferenceOptions& options);

  /// The `count` most probable classes of the image in a file (the evaluation window: shorter side scaled, center crop), best
  /// first. Fails, naming the file, when it cannot be decoded, and when the network's answer is not finite.
  std::vector<Prediction> classify(const std::string& image_file, int64_t count);

  const Network& network() const { return network_; }

 private:
  Network network_;
  std::unique_ptr<ParameterStore> store_;
  std::unique_ptr<const Augmentation> window_;
  InputFormat format_;
};

}  // namespace residua
