#pragma once

#include <charconv>
#include <sstream>
#include <string>
#include <vector>

#include "core/autograd/tape.h"
#include "core/io/safetensors.h"
#include "core/nn/parameter_store.h"
#include "core/nn/state_dict.h"
#include "core/ops/softmax_cross_entropy.h"
#include "core/optim/sgd.h"
#include "models/resnet.h"

/// What the comparisons with PyTorch share: the meaning of the files that tests/parity/*.py write.
namespace residua::test {

inline const std::string& metadata_value(const SafetensorsMetadata& metadata, const std::string& key) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) {
    fail("the metadata has no \"{}\"", key);
  }
  return found->second;
}

inline int64_t metadata_number(const SafetensorsMetadata& metadata, const std::string& key) {
  const std::string& text = metadata_value(metadata, key);
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    fail("the metadata's \"{}\" is \"{}\", wanted a number", key, text);
  }
  return number;
}

template <class E>
E metadata_choice(const SafetensorsMetadata& metadata, const std::string& key) {
  return from_text<E>(key, metadata_value(metadata, key));
}

/// What Spec.metadata() of reference.py wrote.
inline ResNetConfig config_from_metadata(const SafetensorsMetadata& m) {
  ResNetConfig config;
  config.stem = metadata_choice<Stem>(m, "stem");
  config.block = metadata_choice<BlockKind>(m, "block");
  std::istringstream counts(metadata_value(m, "blocks"));
  config.blocks.clear();
  for (int64_t count = 0; counts >> count;) {
    config.blocks.push_back(count);
  }
  config.width = metadata_number(m, "width");
  config.shortcut = metadata_choice<Shortcut>(m, "shortcut");
  config.shortcut_pad = metadata_choice<ShortcutPad>(m, "shortcut_pad");
  config.shortcut_pool = metadata_choice<ShortcutPool>(m, "shortcut_pool");
  config.bottleneck_stride = metadata_choice<BottleneckStride>(m, "bottleneck_stride");
  config.in_channels = metadata_number(m, "in_channels");
  config.classes = metadata_number(m, "classes");
  return config;
}

inline Tensor required(const Safetensors& file, const std::string& name) {
  const Tensor* tensor = file.find(name);
  if (tensor == nullptr) {
    fail("{} has no tensor \"{}\"", file.path, name);
  }
  return *tensor;
}

/// The tensors whose names begin with `prefix`, without it.
inline Safetensors with_prefix(const Safetensors& file, const std::string& prefix) {
  Safetensors part;
  part.path = file.path;
  for (const NamedTensor& item : file.tensors) {
    if (item.name.starts_with(prefix)) {
      part.tensors.push_back({item.name.substr(prefix.size()), item.tensor});
    }
  }
  return part;
}

inline Tensor as_f32(const Tensor& tensor) { return from_values(tensor.shape(), tensor.to_vector()); }

/// One step of SGD (lr 0.1, momentum 0.9, weight decay 1e-4) in fp32 on the weights ("model.*"), "images" [N, H, W, C] and
/// "labels" of a file.
class SgdStepCase {
 public:
  explicit SgdStepCase(const Safetensors& file)
      : model_(config_from_metadata(file.metadata)), store_(model_), sgd_(store_, {.momentum = 0.9f, .weight_decay = 1e-4f}) {
    load_model_weights(with_prefix(file, "model."), store_);
    sgd_.set_learning_rate(0.1f);
    logits_ = model_.forward(as_f32(required(file, "images")), Mode::train);
    backward(softmax_cross_entropy(logits_, required(file, "labels")).loss);
    sgd_.step();
  }

  const ParameterStore& store() const { return store_; }
  /// Before the step, [N, classes].
  const Tensor& logits() const { return logits_; }

 private:
  ResNet model_;
  ParameterStore store_;
  Sgd sgd_;
  Tensor logits_;
};

}  // namespace residua::test
