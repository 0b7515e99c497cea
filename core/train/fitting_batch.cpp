#include "core/train/fitting_batch.h"

#include <vector>

#include "core/autograd/no_grad.h"
#include "core/autograd/tape.h"
#include "core/device/autotune.h"
#include "core/device/device_api.h"
#include "core/nn/norms_alone.h"
#include "core/ops/prepare_input.h"
#include "core/ops/softmax_cross_entropy.h"

namespace residua {
namespace {

/// The loss of the network for `images` images of meaningless pixels.
Tensor try_forward(const Network& network, const RunConfig& config, Device device, DType precision, Mode mode, int64_t images) {
  const int64_t size = network.input.size;
  InputFormat format = input_format(network, precision, device);
  format.height = format.width = size;
  const Tensor pixels = empty({images, size, size, 3}, DType::u8, device);
  const Tensor views = view_tensor(std::vector<SampleView>(static_cast<size_t>(images)), device);
  const Tensor labels = from_values({images}, std::vector<float>(static_cast<size_t>(images)), DType::i32, device);
  const Tensor x = prepare_input(pixels, views, format);
  return softmax_cross_entropy(network.module->forward(x, mode), labels, config.training.label_smoothing).loss;
}

/// The smallest number of equal passes of at most `images` images each.
int64_t passes_of(int64_t batch_size, int64_t images) {
  int64_t passes = (batch_size + images - 1) / images;
  while (batch_size % passes != 0) {
    ++passes;
  }
  return passes;
}

const char* of_each_rank(const TrainingOptions& o) { return o.ranks > 1 ? " on each rank" : ""; }

}  // namespace

int64_t images_that_fit(int64_t images, const std::function<void(int64_t images)>& pass) {
  const WithoutAutotune quick;
  try {
    for (int64_t fewer = images / 2; fewer >= 1; fewer /= 2) {
      try {
        pass(fewer + (fewer + 7) / 8);
        return fewer;
      } catch (const OutOfMemory&) {  // halve again
      } catch (const std::bad_alloc&) {
      }
    }
  } catch (const std::exception&) {  // the device may be unusable now
  }
  return 0;
}

std::string batch_advice(const TrainingOptions& o, int64_t images) {
  if (images == 0) {
    return "; not even one image fits";
  }
  const int64_t passes = passes_of(o.batch_size / o.ranks, images);
  return fmt::format(
      ": a pass of about {0} images fits{3}; set batch-size to {1}, or accumulate to {2} for the same step in {2} passes",
      images, images * o.accumulate * o.ranks, passes, of_each_rank(o));
}

std::string fitting_batch(Training& training, const RunConfig& config) {
  const NormsAlone alone(training.store());  // other ranks have memory enough
  const int64_t images = images_that_fit(config.training.pass_images(), [&](int64_t count) {
    training.store().zero_grad();
    backward(try_forward(training.network(), config, training.device(), training.precision(), Mode::train, count),
             training.scaler().loss_scale());
    device_api::synchronize(training.device());
  });
  training.store().zero_grad();
  return batch_advice(config.training, images);
}

std::string fitting_batch(Network& network, const RunConfig& config, Device device, DType precision) {
  const int64_t images = images_that_fit(config.training.pass_images(), [&](int64_t count) {
    const NoGrad no_grad;
    try_forward(network, config, device, precision, Mode::evaluate, count);
    device_api::synchronize(device);
  });
  const TrainingOptions& o = config.training;
  return images == 0 ? "; not even one image fits"
                     : fmt::format(": a pass of about {} images fits{}; set batch-size to {}", images, of_each_rank(o),
                                   images * o.accumulate * o.ranks);
}

}  // namespace residua
