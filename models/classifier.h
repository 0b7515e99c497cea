#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/data/statistics.h"
#include "core/data/views/view.h"
#include "core/io/safetensors.h"
#include "core/nn/parameter_store.h"
#include "core/ops/prepare_input.h"
#include "models/resnet.h"

namespace residua {

/// What to classify with. Whatever is left out comes from the metadata that train-imagenet writes into its weights.
struct ClassifierOptions {
  std::string weights = {};               // safetensors file, ours or torchvision's
  std::optional<std::string> model = {};  // this and the next four: as train-imagenet's flags
  std::optional<std::string> shortcut = {};
  std::optional<std::string> shortcut_pad = {};
  std::optional<std::string> shortcut_pool = {};
  std::optional<std::string> bottleneck_stride = {};
  std::optional<std::vector<std::string>> classes = {};
  std::optional<int64_t> crop_size = {};
  std::optional<std::vector<float>> mean = {};  // [3], or [crop size, crop size, 3]; of the input, in units of a byte
  std::optional<std::array<float, 3>> std = {};
  Device device = {};
};

/// What weights are of, and what they were trained on.
struct StoredNetwork {
  ResNetSpec spec;
  std::vector<std::string> class_names;  // "class 7" where nothing names them
  bool named = false;                    // whether something does
  int64_t crop_size = 0;
  InputStatistics statistics;
};

/// By the options and, where they say nothing, the file's metadata. Fails with UsageError, which names the file, when neither
/// says which model it is, or they contradict each other.
StoredNetwork stored_network(const ClassifierOptions& options, const Safetensors& file);

struct Prediction {
  int64_t class_index = 0;
  std::string class_name;  // "class 7" when nothing names the classes
  double probability = 0;
};

/// A trained network with all it takes to name what an image shows.
class Classifier {
 public:
  /// Fails with UsageError, which names the file, when the weights do not fit the model, or when neither the options nor the
  /// file say which model it is.
  explicit Classifier(const ClassifierOptions& options);

  /// The `count` most probable classes of the image in a file (the evaluation window: shorter side scaled, center crop), best
  /// first. Fails, naming the file, when it cannot be decoded, and when the network's answer is not finite.
  std::vector<Prediction> classify(const std::string& image_file, int64_t count);

  const ResNetSpec& spec() const { return model_->spec(); }
  const std::vector<std::string>& class_names() const { return class_names_; }

 private:
  std::unique_ptr<ResNet> model_;
  std::unique_ptr<ParameterStore> store_;
  std::unique_ptr<const ViewPolicy> window_;
  InputFormat format_;
  std::vector<std::string> class_names_;
};

}  // namespace residua
