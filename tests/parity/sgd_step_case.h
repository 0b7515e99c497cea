#pragma once

#include <charconv>
#include <sstream>
#include <string>
#include <vector>

#include "core/autograd/tape.h"
#include "core/distributed/communicator.h"
#include "core/distributed/share.h"
#include "core/io/safetensors.h"
#include "core/nn/parameter_store.h"
#include "core/nn/state_dict.h"
#include "core/ops/softmax_cross_entropy.h"
#include "core/optim/gradient_buckets.h"
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
/// "labels" of a file. Of several ranks, each takes its part of the images, and batch norm normalizes them all.
class SgdStepCase {
 public:
  explicit SgdStepCase(const Safetensors& file) : SgdStepCase(file, alone_) {}
  SgdStepCase(const Safetensors& file, Communicator& ranks)
      : model_(config_from_metadata(file.metadata)),
        store_(model_),
        scaler_(Device{}),
        sgd_(store_, scaler_, {.momentum = 0.9f, .weight_decay = 1e-4f}) {
    load_weights(with_prefix(file, "model."), store_, "fc.");
    scaler_.set_learning_rate(0.1f);
    const Tensor images = as_f32(required(file, "images"));
    const Tensor labels = required(file, "labels");
    const Share part = share_of(images.dim(0), ranks.rank(), ranks.world());
    const int64_t pixels = images.size() / images.dim(0);
    store_.synchronize_norms(ranks);
    GradientBuckets buckets(store_, ranks, 4096);
    logits_ = model_.forward(images.slice(part.first * pixels, {part.count, images.dim(1), images.dim(2), images.dim(3)}),
                             Mode::train);
    const float share = static_cast<float>(part.count) / static_cast<float>(images.dim(0));
    backward(softmax_cross_entropy(logits_, labels.slice(part.first, {part.count})).loss, full({}, share, DType::f32),
             [&](const AutogradMeta& leaf) { buckets.complete(leaf); });
    buckets.finish();
    scaler_.check_gradients(store_);
    sgd_.step();
    store_.commit_statistics(0.1f, scaler_.state());
  }

  const ParameterStore& store() const { return store_; }
  /// Before the step, [images of this rank, classes].
  const Tensor& logits() const { return logits_; }

 private:
  OneProcess alone_;
  ResNet model_;
  ParameterStore store_;
  GradScaler scaler_;
  Sgd sgd_;
  Tensor logits_;
};

}  // namespace residua::test
