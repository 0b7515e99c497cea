#pragma once

#include <algorithm>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/data/sources/memory_source.h"
#include "core/evaluate/evaluator.h"
#include "core/nn/initialization.h"
#include "core/nn/parameter_store.h"
#include "models/resnet.h"
#include "tests/support/op_case.h"

namespace residua::test {

inline constexpr int64_t kImages = 13;
inline constexpr int64_t kSize = 12;
inline constexpr int64_t kClasses = 7;

inline std::shared_ptr<const ImageSource> random_images(int64_t images = kImages) {
  std::mt19937_64 random(3);
  MemorySource::Contents contents{"made up", {kSize, kSize}, {}, {}, {"a", "b", "c", "d", "e", "f", "g"}};
  for (int64_t i = 0; i < images * kSize * kSize * 3; ++i) {
    contents.pixels.push_back(static_cast<uint8_t>(random()));
  }
  for (int64_t i = 0; i < images; ++i) {
    contents.labels.push_back(static_cast<int32_t>(random() % kClasses));
  }
  return std::make_shared<const MemorySource>(std::move(contents));
}

/// The same images, of which one cannot be read.
class OneMissing final : public ImageSource {
 public:
  OneMissing(std::shared_ptr<const ImageSource> source, int64_t missing) : source_(std::move(source)), missing_(missing) {}
  int64_t size() const override { return source_->size(); }
  const std::vector<std::string>& class_names() const override { return source_->class_names(); }
  int32_t label(int64_t i) const override { return source_->label(i); }
  std::string name(int64_t i) const override { return source_->name(i); }
  std::optional<ImageSize> fixed_size() const override { return source_->fixed_size(); }
  void read(int64_t i, EncodedImage& out) const override {
    if (i == missing_) {
      fail("{}: is missing", name(i));
    }
    source_->read(i, out);
  }

 private:
  std::shared_ptr<const ImageSource> source_;
  int64_t missing_;
};

/// A network for inference alone, whose running statistics are those of no batch.
struct Trained {
  explicit Trained(Device device, DType precision = DType::f32)
      : device(device),
        model({.stem = Stem::cifar,
               .blocks = {1, 1, 1},
               .width = 4,
               .shortcut = Shortcut::a,
               .stored_in_channels = stored_input_channels(precision),
               .classes = kClasses}),
        store(model, {.device = device, .compute = precision, .purpose = Purpose::inference}),
        format({.channels = model.input_channels(),
                .dtype = precision,
                .mean = full({3}, 120.0f, DType::f32, device),
                .inverse_std = full({3}, 0.015f, DType::f32, device)}),
        evaluator(model, format, device) {
    initialize(store, 5);
    std::mt19937 random(8);
    const auto fill = [&](const Tensor& tensor, float low, float high) {
      std::vector<float> values(static_cast<size_t>(tensor.size()));
      for (float& value : values) {
        value = std::uniform_real_distribution<float>(low, high)(random);
      }
      tensor.copy_from(values);
    };
    fill(store.statistics_arena().running_mean, -0.5f, 0.5f);
    fill(store.statistics_arena().running_variance, 0.5f, 3.0f);
  }

  Metrics evaluate(const std::shared_ptr<const ImageSource>& source, LoaderOptions options,
                   const std::string& protocol = "center", Average average = Average::softmax,
                   Evaluator::Observers observers = {}) {
    options.max_bad_images = 100;
    options.max_bad_share = 1;
    const Kinds<Protocol> protocols;
    EvaluationLoader loader(source, protocols.at("protocol", protocol), kSize, std::move(options), average);
    return evaluator.evaluate(loader, observers);
  }

  Device device;
  ResNet model;
  ParameterStore store;
  InputFormat format;
  Evaluator evaluator;
};

}  // namespace residua::test
