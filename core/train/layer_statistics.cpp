#include "core/train/layer_statistics.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "core/autograd/tape.h"
#include "core/data/batch_upload.h"
#include "core/nn/initialization.h"
#include "core/nn/parameter_store.h"
#include "core/ops/batch_norm.h"
#include "core/ops/prepare_input.h"
#include "core/ops/softmax_cross_entropy.h"
#include "core/train/run_setup.h"
#include "core/train/training.h"

namespace residua {
namespace {

constexpr int kFormat = 1;
constexpr float kHalfScale = 1024;  // initial loss scale in fp16, so that small gradients do not underflow

double norm(const std::vector<float>& values) {
  double squares = 0;
  for (const float value : values) {
    squares += static_cast<double>(value) * value;
  }
  return std::sqrt(squares);
}

/// A layer's tensors and its sums over the batches.
struct Probe {
  LayerStatistics layer = {};
  const Parameter* weight = nullptr;
  const Parameter* gamma = nullptr;
  const Parameter* beta = nullptr;
  const RunningStatistics* norm = nullptr;
  double mean = 0, square = 0;  // of the response

  double gradient_norm(double scale) const { return residua::norm(to_logical(*weight, weight->gradient)) / scale; }
  void add(double scale) {
    const double epsilon = BatchNormTensors().epsilon;
    const std::vector<float> g = gamma->master.to_vector();
    const std::vector<float> b = beta->master.to_vector();
    const std::vector<float> variance = norm->batch_variance.to_vector();
    for (size_t c = 0; c < variance.size(); ++c) {
      const double channels = static_cast<double>(variance.size());
      mean += b[c] / channels;
      square += (static_cast<double>(b[c]) * b[c] + static_cast<double>(g[c]) * g[c] * variance[c] / (variance[c] + epsilon)) /
                channels;
    }
    layer.gradient_norm += gradient_norm(scale);
  }
  void finish(double batches) {
    layer.response_std = std::sqrt(std::max(0.0, square / batches - mean / batches * mean / batches));
    layer.gradient_norm /= batches;
    layer.weight_norm = residua::norm(to_logical(*weight, weight->master));
    if (!std::isfinite(layer.response_std + layer.gradient_norm + layer.weight_norm)) {
      fail("layer {}: got a response of std {}, a gradient of norm {} and weights of norm {}; wanted finite numbers",
           layer.name, layer.response_std, layer.gradient_norm, layer.weight_norm);
    }
  }
};

std::vector<Probe> probes_of(const Network& network, ParameterStore& store, int64_t batch_size) {
  std::map<std::string, const RunningStatistics*> norms;
  for (const RunningStatistics* statistics : store.statistics()) {
    norms[statistics->name] = statistics;
  }
  const ModelSummary summary = summarize(*network.module, {batch_size, network.input.size, network.input.size, 3});
  std::vector<Probe> probes;
  for (size_t i = 0; i + 1 < summary.layers.size(); ++i) {
    const LayerSummary& convolution = summary.layers[i];
    const auto found = norms.find(summary.layers[i + 1].name);
    if (convolution.convolution && found != norms.end()) {
      Probe& probe = probes.emplace_back();
      probe.layer.name = convolution.name;
      probe.layer.kernel = convolution.convolution->kernel_height;
      probe.weight = &store.parameter(convolution.name + ".weight");
      probe.gamma = &store.parameter(found->first + ".weight");
      probe.beta = &store.parameter(found->first + ".bias");
      probe.norm = found->second;
    }
  }
  return probes;
}

}  // namespace

NetworkStatistics measure_layers(Network& network, const std::shared_ptr<const ImageSource>& train, const RunConfig& config,
                                 Device device, DType precision, int64_t batches, RunObserver& observer) {
  ParameterStore store(*network.module, {.device = device, .compute = precision});
  store.set_group_images(config.training.bn_group);
  initialize(store, static_cast<uint64_t>(config.training.seed), config.weights.initialization);
  NetworkStatistics statistics{
      .iteration = load_first_weights(config, network, store), .batches = batches, .batch_size = config.training.batch_size};
  std::vector<Probe> probes = probes_of(network, store, config.training.batch_size);
  const std::unique_ptr<Loader> loader = training_loader(train, config, network.input, device);
  BatchUpload upload(device);
  InputFormat format = input_format(network, precision, device);
  const auto forward_backward = [&](const Batch& batch, float scale) {
    const Tensor x = prepare_input(batch.images, batch.views, format);
    const SoftmaxCrossEntropy result =
        softmax_cross_entropy(network.module->forward(x, Mode::train), batch.labels, config.training.label_smoothing);
    store.zero_grad();
    backward(result.loss, scale);
    return result.loss.item();
  };
  const auto finite_gradients = [&](double scale) {
    return std::ranges::all_of(probes, [&](const Probe& probe) { return std::isfinite(probe.gradient_norm(scale)); });
  };
  float scale = precision == DType::f16 ? kHalfScale : 1;
  loader->start(0);
  for (int64_t i = 0; i < batches; ++i) {
    const Batch& batch = upload.upload(loader->next_of_any_epoch());
    format.height = batch.height;
    format.width = batch.width;
    double loss = forward_backward(batch, scale);
    while (scale > 1 && !finite_gradients(scale)) {  // overflow
      scale /= 2;
      loss = forward_backward(batch, scale);
    }
    upload.used();
    statistics.loss += loss / static_cast<double>(batches);
    for (Probe& probe : probes) {
      probe.add(scale);
    }
  }
  for (const BadImage& image : loader->errors().take_new()) {
    observer.note("skipped " + image.message);
  }
  for (Probe& probe : probes) {
    probe.finish(static_cast<double>(batches));
    statistics.layers.push_back(probe.layer);
  }
  return statistics;
}

nlohmann::ordered_json to_json(const NetworkStatistics& s, const Network& network) {
  nlohmann::ordered_json layers = nlohmann::ordered_json::array();
  for (const LayerStatistics& layer : s.layers) {
    layers.push_back({{"name", layer.name},
                      {"kernel", layer.kernel},
                      {"response_std", layer.response_std},
                      {"gradient_norm", layer.gradient_norm},
                      {"weight_norm", layer.weight_norm}});
  }
  return {{"format", kFormat},          {"model", network.name}, {"iteration", s.iteration}, {"batches", s.batches},
          {"batch_size", s.batch_size}, {"loss", s.loss},        {"layers", layers}};
}

}  // namespace residua
