#include "models/classifier.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string_view>

#include "core/autograd/no_grad.h"
#include "core/data/codecs/decode.h"
#include "core/data/statistics.h"
#include "core/io/read_file.h"
#include "core/nn/state_dict.h"
#include "models/catalog.h"

namespace residua {
namespace {

/// A weights file's metadata, which may be missing or say anything.
class Metadata {
 public:
  explicit Metadata(const Safetensors& file) : file_(file) {}

  std::optional<std::string> text(const std::string& key) const {
    const auto found = file_.metadata.find(key);
    return found != file_.metadata.end() ? std::optional(found->second) : std::nullopt;
  }
  template <class T>
  std::optional<T> json(const std::string& key) const {
    const std::optional<std::string> value = text(key);
    if (!value) {
      return std::nullopt;
    }
    try {
      return nlohmann::json::parse(*value).get<T>();
    } catch (const nlohmann::json::exception&) {
      fail_usage("{}: its metadata '{}' is not what train-imagenet writes", file_.path, key);
    }
  }

 private:
  const Safetensors& file_;
};

/// One of two words.
template <class T>
T choice(const std::string& what, const std::string& got, std::string_view first, T if_first, std::string_view second,
         T if_second) {
  if (got != first && got != second) {
    fail_usage("{} is '{}', wanted {} or {}", what, got.substr(0, 80), first, second);
  }
  return got == first ? if_first : if_second;
}

ResNetSpec make_spec(const ClassifierOptions& options, const Safetensors& file) {
  const Metadata metadata(file);
  const auto given = [&](const std::optional<std::string>& option, const std::string& key, const std::string& otherwise) {
    return option ? *option : metadata.text(key).value_or(otherwise);
  };
  const std::string model = given(options.model, "model", "");
  if (model.empty()) {
    fail_usage("{} does not say which model it is of: give --model NAME", file.path);
  }
  ResNetSpec spec = model_spec(model);
  const std::string shortcut = given(options.shortcut, "shortcut", std::string(name(spec.shortcut)));
  if (parse_shortcut(shortcut) != spec.shortcut) {
    set_shortcut(spec, parse_shortcut(shortcut));
  }
  spec.shortcut_pad = choice("--shortcut-pad", given(options.shortcut_pad, "shortcut_pad", "end"), "end", ShortcutPad::end,
                             "both", ShortcutPad::both);
  spec.shortcut_pool = choice("--shortcut-pool", given(options.shortcut_pool, "shortcut_pool", "stride"), "stride",
                              ShortcutPool::stride, "average", ShortcutPool::average);
  spec.bottleneck_stride = choice("--bottleneck-stride", given(options.bottleneck_stride, "bottleneck_stride", "conv3x3"),
                                  "conv3x3", BottleneckStride::conv3x3, "conv1x1", BottleneckStride::conv1x1);
  const HostArray* classifier = file.find("fc.weight");
  if (classifier == nullptr || classifier->shape.size() != 2 || classifier->shape[0] < 1) {
    fail_usage("{} has no classifier: fc.weight of shape [classes, features] is missing", file.path);
  }
  spec.classes = classifier->shape[0];
  return spec;
}

void name_classes(const ClassifierOptions& options, const Safetensors& file, StoredNetwork& network) {
  const auto given = options.classes ? options.classes : Metadata(file).json<std::vector<std::string>>("classes");
  network.named = given.has_value();
  if (given && static_cast<int64_t>(given->size()) != network.spec.classes) {
    fail_usage("{} classifies into {} classes, but {} names were given for them", file.path, network.spec.classes,
               given->size());
  }
  for (int64_t i = 0; i < network.spec.classes; ++i) {
    network.class_names.push_back(given ? (*given)[static_cast<size_t>(i)] : fmt::format("class {}", i));
  }
}

int64_t make_crop_size(const ClassifierOptions& options, const Safetensors& file, const ResNetSpec& spec) {
  const std::optional<int64_t> stored = Metadata(file).json<int64_t>("input_size");
  return options.crop_size ? *options.crop_size : stored.value_or(spec.image_size());
}

InputStatistics make_statistics(const ClassifierOptions& options, const Safetensors& file, int64_t crop_size) {
  const Metadata metadata(file);
  const auto& [mean, std] = kImageNetStatistics;
  InputStatistics result{.mean = {mean.begin(), mean.end()}, .std = std};
  if (const auto given = options.mean ? options.mean : metadata.json<std::vector<float>>("mean")) {
    result.mean = *given;
  }
  if (options.std) {
    result.std = *options.std;
  } else if (const auto stored = metadata.json<std::vector<float>>("std")) {
    if (stored->size() != 3) {
      fail_usage("{}: its metadata 'std' has {} numbers, wanted 3", file.path, stored->size());
    }
    std::ranges::copy(*stored, result.std.begin());
  }
  const size_t numbers = result.mean.size();
  if (numbers != 3 && numbers != static_cast<size_t>(crop_size * crop_size * 3)) {
    fail_usage(
        "{}: its metadata 'mean' has {} numbers, wanted 3, or {} for a mean image of {} x {} px: another crop size needs "
        "--mean",
        file.path, numbers, crop_size * crop_size * 3, crop_size, crop_size);
  }
  if (!std::ranges::all_of(result.mean, [](float value) { return std::isfinite(value); }) ||
      !std::ranges::all_of(result.std, [](float value) { return std::isfinite(value) && value > 0; })) {
    fail_usage("{}: the input's mean and std must be finite numbers, std above 0; its std is {}", file.path,
               fmt::join(result.std, ", "));
  }
  return result;
}

std::vector<double> softmax(const std::vector<float>& logits) {
  const double most = *std::ranges::max_element(logits);
  std::vector<double> probabilities(logits.size());
  std::ranges::transform(logits, probabilities.begin(), [most](float logit) { return std::exp(logit - most); });
  const double sum = std::reduce(probabilities.begin(), probabilities.end());
  std::ranges::for_each(probabilities, [sum](double& p) { p /= sum; });
  return probabilities;
}

}  // namespace

StoredNetwork stored_network(const ClassifierOptions& options, const Safetensors& file) {
  StoredNetwork network;
  network.spec = make_spec(options, file);
  name_classes(options, file, network);
  network.crop_size = make_crop_size(options, file, network.spec);
  network.statistics = make_statistics(options, file, network.crop_size);
  return network;
}

Classifier::Classifier(const ClassifierOptions& options) {
  const Safetensors file = read_weights(options.weights);
  const StoredNetwork network = stored_network(options, file);
  const int64_t crop_size = network.crop_size;
  const InputStatistics& statistics = network.statistics;
  model_ = std::make_unique<ResNet>(network.spec);
  class_names_ = network.class_names;
  window_ = make_view("center", crop_size);
  std::array<float, 3> inverse_std{};
  std::ranges::transform(statistics.std, inverse_std.begin(), [](float std) { return 1 / std; });
  store_ =
      std::make_unique<ParameterStore>(*model_, ParameterStoreOptions{.device = options.device, .purpose = Purpose::inference});
  load_weights(file, *store_, "fc.");
  format_ = {.height = crop_size,
             .width = crop_size,
             .channels = model_->input_channels(),
             .dtype = DType::f32,
             .mean = mean_tensor(statistics.mean, crop_size, options.device),
             .inverse_std = from_values({3}, inverse_std, DType::f32, options.device)};
}

std::vector<Prediction> Classifier::classify(const std::string& image_file, int64_t count) {
  std::vector<uint8_t> bytes;
  read_file(image_file, bytes);
  Random unused(0, RandomPurpose::augmentation, 0, 0);  // the center view is the same each time
  PlacedView placed;
  Image region;
  const auto choose = [&](ImageSize size) {
    placed = window_->place(size, unused, 0);
    return source_region(placed.resize);
  };
  decode(bytes, image_file, choose, region);
  const Tensor pixels = empty({1, placed.resize.window.height, placed.resize.window.width, 3}, DType::u8);
  scale(placed.resize, region, pixels.data<uint8_t>());

  const NoGrad no_grad;
  const Device device = store_->options().device;
  const Tensor x = prepare_input(pixels.to(device), view_tensor({&placed.view, 1}, device), format_);
  const std::vector<double> probabilities = softmax(model_->forward(x, Mode::evaluate).to_vector());
  if (!std::ranges::all_of(probabilities, [](double p) { return std::isfinite(p); })) {
    fail("{}: the network's answer is not a finite number: its weights are damaged, or diverged in training", image_file);
  }

  std::vector<Prediction> predictions;
  for (size_t i = 0; i < probabilities.size(); ++i) {
    predictions.push_back({static_cast<int64_t>(i), class_names_[i], probabilities[i]});
  }
  std::ranges::stable_sort(predictions, std::ranges::greater(), &Prediction::probability);
  predictions.resize(std::min(predictions.size(), static_cast<size_t>(std::max<int64_t>(count, 0))));
  return predictions;
}

}  // namespace residua
