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
#include "tests/support/host_arrays.h"

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

/// One of two words, as the value that belongs to it.
template <class T>
T metadata_choice(const SafetensorsMetadata& metadata, const std::string& key, const char* first_word, T first,
                  const char* second_word, T second) {
  const std::string& text = metadata_value(metadata, key);
  if (text != first_word && text != second_word) {
    fail("the metadata's \"{}\" is \"{}\", wanted {} or {}", key, text, first_word, second_word);
  }
  return text == first_word ? first : second;
}

/// What Spec.metadata() of reference.py wrote.
inline ResNetSpec spec_from_metadata(const SafetensorsMetadata& m) {
  ResNetSpec spec;
  spec.stem = metadata_choice(m, "stem", "imagenet", Stem::imagenet, "cifar", Stem::cifar);
  spec.block = metadata_choice(m, "block", "basic", BlockKind::basic, "bottleneck", BlockKind::bottleneck);
  std::istringstream counts(metadata_value(m, "blocks"));
  spec.blocks.clear();
  for (int64_t count = 0; counts >> count;) {
    spec.blocks.push_back(count);
  }
  spec.width = metadata_number(m, "width");
  spec.shortcut = parse_shortcut(metadata_value(m, "shortcut"));
  spec.shortcut_pad = metadata_choice(m, "shortcut_pad", "end", ShortcutPad::end, "both", ShortcutPad::both);
  spec.shortcut_pool = metadata_choice(m, "shortcut_pool", "stride", ShortcutPool::stride, "average", ShortcutPool::average);
  spec.bottleneck_stride =
      metadata_choice(m, "bottleneck_stride", "conv3x3", BottleneckStride::conv3x3, "conv1x1", BottleneckStride::conv1x1);
  spec.in_channels = metadata_number(m, "in_channels");
  spec.classes = metadata_number(m, "classes");
  return spec;
}

inline Tensor required(const Safetensors& file, const std::string& name) {
  const HostArray* array = file.find(name);
  if (array == nullptr) {
    fail("{} has no tensor \"{}\"", file.path, name);
  }
  return to_tensor(*array);
}

/// The tensors whose names begin with `prefix`, without it.
inline Safetensors with_prefix(const Safetensors& file, const std::string& prefix) {
  Safetensors part;
  part.path = file.path;
  for (const HostArray& array : file.arrays) {
    if (array.name.starts_with(prefix)) {
      part.arrays.push_back(array);
      part.arrays.back().name.erase(0, prefix.size());
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
      : model_(spec_from_metadata(file.metadata)), store_(model_), sgd_(store_, {.momentum = 0.9f, .weight_decay = 1e-4f}) {
    load_weights(with_prefix(file, "model."), store_, "fc.");
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
