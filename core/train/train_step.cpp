#include "core/train/train_step.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/autograd/tape.h"
#include "core/base/error.h"
#include "core/device/profile.h"
#include "core/distributed/share.h"
#include "core/kernels/add.h"
#include "core/kernels/run.h"
#include "core/kernels/scale.h"

namespace residua {
namespace {

/// Steps of a shape to run before capture: the first chooses convolution plans, the second runs with a warm memory pool.
constexpr int64_t kStepsBeforeCapture = 2;

/// Whether the passes of a batch of `images` images are of one size on each rank.
bool equal_passes(int64_t images, int64_t world, int64_t most) {
  for (int64_t rank = 0; rank < world; ++rank) {
    const int64_t part = share_of(images, rank, world).count;
    if (part > 0 && part % pass_size(part, most) != 0) {
      return false;
    }
  }
  return true;
}

}  // namespace

int64_t pass_size(int64_t images, int64_t most) {
  if (most == 0 || images <= most) {
    return images;
  }
  const int64_t passes = (images + most - 1) / most;
  return (images + passes - 1) / passes;
}

TrainStep::TrainStep(Module& model, ParameterStore& store, GradScaler& scaler, Sgd& sgd, TrainStepOptions options)
    : model_(model),
      store_(store),
      scaler_(scaler),
      sgd_(sgd),
      options_(std::move(options)),
      device_(store.options().device),
      metrics_(device_),
      train_upload_(device_) {}

SoftmaxCrossEntropy TrainStep::run_pass(const Batch& batch, float share, const LeafComplete& complete) {
  InputFormat format = options_.input;
  format.height = batch.height;
  format.width = batch.width;
  const Tensor x = prepare_input(batch.images, batch.views, format);
  const SoftmaxCrossEntropy result =
      softmax_cross_entropy(model_.forward(x, Mode::train), batch.labels, options_.label_smoothing);
  backward(result.loss, share == 1 ? scaler_.loss_scale() : scaler_.loss_scale(share), complete);
  return result;
}

Tensor TrainStep::exchange(const std::vector<Pass>& passes) {
  const Tensor loss = passes.front().result.loss.clone();
  for (size_t i = 1; i < passes.size(); ++i) {
    run(device_, Add{.dtype = loss.dtype(), .size = 1, .a = loss.data(), .b = passes[i].result.loss.data(), .y = loss.data()});
  }
  Communicator& ranks = *options_.ranks;
  const Tensor& statistics = store_.statistics_arena().pass_means;
  ranks.sum(loss);
  if (statistics.size() > 0) {
    ranks.sum(statistics);
  }
  {
    const profile::Span waiting("waiting for the ranks");
    buckets_->finish();
  }
  if (statistics.size() > 0) {
    run(device_, Scale{.size = statistics.size(),
                       .factor = 1 / static_cast<float>(ranks.world()),
                       .x = statistics.data<float>(),
                       .y = statistics.data<float>()});
  }
  return loss;
}

void TrainStep::run_step(const Batch& batch) {
  std::vector<Pass> passes;
  const int64_t images = batch.labels.size();
  const int64_t all_images = buckets_ ? batch.whole : images;
  const int64_t size = pass_size(images, options_.most_images);
  const bool means = size < images || buckets_;  // whether the statistics are means over passes or ranks
  for (int64_t first = 0; first < images; first += size) {
    const int64_t count = std::min(size, images - first);
    Pass& pass = passes.emplace_back(Pass{.part = rows_of(batch, first, count), .result = {}});
    LeafComplete complete;
    if (buckets_ && first + count == images) {
      complete = [this](const AutogradMeta& leaf) { buckets_->complete(leaf); };
    }
    pass.result = run_pass(pass.part, static_cast<float>(count) / static_cast<float>(all_images), complete);
    if (means) {
      store_.note_pass(first / size);
    }
  }
  if (buckets_) {
    scaler_.check(exchange(passes));
  } else {
    for (const Pass& pass : passes) {
      scaler_.check(pass.result.loss);
    }
  }
  // A variance that overflows makes its layer's output a constant: the loss and the gradients stay finite.
  scaler_.check(means ? store_.statistics_arena().pass_means : store_.statistics_arena().batch_variance);
  scaler_.check_gradients(store_);
  sgd_.step();
  means ? store_.commit_passes(options_.statistics_momentum, scaler_.state())
        : store_.commit_statistics(options_.statistics_momentum, scaler_.state());
  for (const Pass& pass : passes) {
    metrics_.add(pass.result, pass.part.labels, scaler_.state());
  }
  scaler_.finish_step();
}

StepState TrainStep::state() {
  const StepState state = scaler_.read();
  if (buckets_) {
    options_.ranks->check();
  }
  store_.count_batches(state);
  return state;
}

void TrainStep::train(const Batch& batch) {
  if (options_.ranks != nullptr && !options_.ranks->alone() && !buckets_) {
    buckets_.emplace(store_, *options_.ranks, bucket_bytes(store_, options_.most_bucket_bytes));
  }
  const Batch& input = train_upload_.upload(batch);
  if (train_upload_.uploads() <= kStepsBeforeCapture) {
    graphs_ = {};
  }
  // Passes of different sizes write their Bessel corrections from the host, which no graph can replay. Of several ranks, all
  // must replay a step or none.
  const bool alike = buckets_ ? equal_passes(input.whole, options_.ranks->world(), options_.most_images)
                              : equal_passes(input.labels.size(), 1, options_.most_images);
  const bool captured = options_.capture == Capture::on && device_api::can_capture(device_) && profile::active() == nullptr &&
                        train_upload_.uploads() > kStepsBeforeCapture && alike;
  if (captured) {
    auto& graph = graphs_[static_cast<size_t>(train_upload_.slot())];
    if (graph == nullptr) {
      try {
        graph = std::make_unique<device_api::Graph>(device_, [&] { run_step(input); });
      } catch (const DeviceFault&) {
        throw;
      } catch (const OutOfMemory&) {
        throw;
      } catch (const RankFailure&) {
        throw;
      } catch (const Error& error) {
        fail("{}; this happened while capturing the step as a graph: --cuda-graph off avoids that", error.what());
      }
    }
    graph->launch();
    if (buckets_) {
      options_.ranks->launched();
    }
  } else {
    run_step(input);
    device_api::save_plans(device_);
  }
  train_upload_.used();
}

}  // namespace residua
