#include "core/train/diagnosis.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/autograd/tape.h"
#include "core/autograd/trace.h"
#include "core/base/join.h"
#include "core/data/batch_upload.h"
#include "core/kernels/check_finite.h"
#include "core/kernels/run.h"
#include "core/nn/norms_alone.h"
#include "core/nn/state_dict.h"
#include "core/ops/prepare_input.h"
#include "core/ops/softmax_cross_entropy.h"

namespace residua {
namespace {

constexpr float kLargeWeight = 1e3f;  // trained weights are of order 1

bool is_finite(const Tensor& x) {
  if (!x.defined() || x.size() == 0) {
    return true;
  }
  const Tensor memory = zeros({sizeof(StepState) / sizeof(float)}, DType::f32, x.device());
  run(x.device(),
      CheckFinite{.dtype = x.dtype(), .size = x.size(), .x = x.data(), .state = static_cast<StepState*>(memory.data())});
  StepState state;
  device_api::copy(Device{}, &state, x.device(), memory.data(), sizeof state);
  return state.found_inf == 0;
}

/// "layer2.0.conv1 (conv2d)".
std::string name_of(const TracedOp& op) {
  const std::string layer = op.layer.ends_with(".weight") ? op.layer.substr(0, op.layer.rfind('.')) : op.layer;
  return layer.empty() ? std::string(op.name) : fmt::format("{} ({})", layer, op.name);
}

/// The largest weight of the network, if it is large.
std::string large_weight(const StateSnapshot& now) {
  const HostArray* of = nullptr;
  float largest = kLargeWeight;
  for (const HostArray& array : now.weights) {
    for (const float value : array.span<float>()) {
      if (std::fabs(value) > largest) {
        largest = std::fabs(value);
        of = &array;
      }
    }
  }
  return of != nullptr ? fmt::format("{} has values up to {:.2g}", of->name, largest) : std::string();
}

/// One pass of the step, looked at kernel by kernel.
std::vector<std::string> examine(Training& training, const RunConfig& config, const Batch& batch) {
  std::vector<std::string> found;
  InputFormat format = input_format(training.network(), training.precision(), training.device());
  format.height = batch.height;
  format.width = batch.width;
  const Trace trace;
  const Tensor x = prepare_input(batch.images, batch.views, format);
  const SoftmaxCrossEntropy result =
      softmax_cross_entropy(training.network().module->forward(x, Mode::train), batch.labels, config.training.label_smoothing);
  const auto op = std::ranges::find_if_not(trace.ops(), is_finite, &TracedOp::output);
  if (!is_finite(x)) {
    found.emplace_back("the network's input is not finite: look at its mean and standard deviation");
  } else if (op != trace.ops().end()) {
    found.push_back("the first output that is not finite is that of " + name_of(*op));
  } else if (!is_finite(result.loss)) {
    found.emplace_back("the loss is not finite, though all outputs are");
  }
  for (const RunningStatistics* layer : training.store().statistics()) {
    if (found.empty() && !layer->frozen && !is_finite(layer->batch_variance)) {
      found.push_back("the variance of the input of " + layer->name + " is not finite");
    }
  }
  training.store().zero_grad();
  backward(result.loss, training.scaler().loss_scale());
  const std::vector<Parameter*>& parameters = training.store().parameters();
  const auto last = std::find_if(parameters.rbegin(), parameters.rend(), [](const Parameter* parameter) {
    return !parameter->frozen && !is_finite(parameter->gradient);
  });
  if (last != parameters.rend()) {
    found.push_back("the first gradient that is not finite is that of " + (*last)->name);
  }
  return found;
}

}  // namespace

std::string where_not_finite(Training& training, const RunConfig& config, const Batch& batch) {
  const StateSnapshot now = snapshot(training.store());
  if (const std::optional<std::string> name = now.first_not_finite()) {
    return *name + " has values that are not finite";
  }
  const NormsAlone alone(training.store());  // ranks may stop at different places
  std::vector<std::string> found;
  BatchUpload upload(training.device());
  const Batch& input = upload.upload(batch);
  const int64_t images = input.labels.size();
  const int64_t size = pass_size(images, config.training.pass_images());
  for (int64_t first = 0; first < images && found.empty(); first += size) {
    found = examine(training, config, rows_of(input, first, std::min(size, images - first)));
  }
  upload.used();
  training.store().zero_grad();
  if (found.empty()) {
    found.emplace_back("a training step with these weights is finite");
  }
  if (const std::string large = large_weight(now); !large.empty()) {
    found.push_back(large);
  }
  return join(found, "; ");
}

}  // namespace residua
