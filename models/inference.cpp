#include "models/inference.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/autograd/no_grad.h"
#include "core/data/codecs/decode.h"
#include "core/device/autotune.h"
#include "core/io/read_file.h"
#include "core/nn/state_dict.h"

namespace residua {
namespace {

std::vector<double> softmax(const std::vector<float>& logits) {
  const double most = *std::ranges::max_element(logits);
  std::vector<double> probabilities(logits.size());
  std::ranges::transform(logits, probabilities.begin(), [most](float logit) { return std::exp(logit - most); });
  const double sum = std::reduce(probabilities.begin(), probabilities.end());
  std::ranges::for_each(probabilities, [sum](double& p) { p /= sum; });
  return probabilities;
}

}  // namespace

Inference::Inference(const InferenceOptions& options) {
  const Safetensors file = read_weights(options.weights);
  network_ = network_from_weights(file, options.overrides, DType::f32);
  store_ = std::make_unique<ParameterStore>(*network_.module,
                                            ParameterStoreOptions{.device = options.device, .purpose = Purpose::inference});
  load_weights(file, *store_, network_.family->classifier() + ".");
  window_ = make_view("center", network_.input.size);
  format_ = input_format(network_, DType::f32, options.device);
}

std::vector<Prediction> Inference::classify(const std::string& image_file, int64_t count) {
  std::vector<uint8_t> bytes;
  read_file(image_file, bytes);
  Random unused(0, RandomPurpose::augmentation, 0, 0);  // the center view is not random
  PlacedView placed;
  Image region;
  const auto choose = [&](ImageSize size) {
    placed = window_->place(size, unused, 0);
    return source_region(placed.resize);
  };
  decode(bytes, image_file, choose, region,
         {.orientation = network_.input.turned_by_exif ? Orientation::exif : Orientation::as_stored});
  const Tensor pixels = empty({1, placed.resize.window.height, placed.resize.window.width, 3}, DType::u8);
  ResizeMemory memory;
  scale(placed.resize, region, pixels.data<uint8_t>(), memory);

  const NoGrad no_grad;
  const WithoutAutotune quick;  // timing plans costs more than it saves on a few images
  const Device device = store_->options().device;
  const Tensor x = prepare_input(pixels.to(device), view_tensor({&placed.view, 1}, device), format_);
  const std::vector<double> probabilities = softmax(network_.module->forward(x, Mode::evaluate).to_vector());
  if (!std::ranges::all_of(probabilities, [](double p) { return std::isfinite(p); })) {
    fail("{}: the network's output is not finite: its weights are damaged, or training has diverged", image_file);
  }

  std::vector<Prediction> predictions;
  for (size_t i = 0; i < probabilities.size(); ++i) {
    predictions.push_back(
        {.class_index = static_cast<int64_t>(i), .class_name = network_.input.class_names[i], .probability = probabilities[i]});
  }
  std::ranges::stable_sort(predictions, std::ranges::greater(), &Prediction::probability);
  predictions.resize(std::min(predictions.size(), static_cast<size_t>(std::max<int64_t>(count, 0))));
  return predictions;
}

}  // namespace residua
