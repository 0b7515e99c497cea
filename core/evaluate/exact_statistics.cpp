#include "core/evaluate/exact_statistics.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <utility>
#include <vector>

#include "core/autograd/no_grad.h"
#include "core/data/batch_upload.h"
#include "core/distributed/share.h"
#include "core/kernels/batch_norm_group_statistics.h"

namespace residua {
namespace {

/// The statistics that training changes.
std::vector<RunningStatistics*> trained_statistics(const ParameterStore& store) {
  std::vector<RunningStatistics*> trained;
  std::ranges::copy_if(store.statistics(), std::back_inserter(trained), [](const auto* layer) { return !layer->frozen; });
  return trained;
}

/// Makes training forwards add up their statistics while it exists.
class Totals {
 public:
  explicit Totals(ParameterStore& store) : layers_(trained_statistics(store)) {
    for (RunningStatistics* layer : layers_) {
      layer->totals = zeros({layer->channels * kBytes}, DType::u8, store.options().device);  // totals of no values
    }
  }
  ~Totals() {
    for (RunningStatistics* layer : layers_) {
      layer->totals = {};
    }
  }
  Totals(const Totals&) = delete;
  Totals& operator=(const Totals&) = delete;

  const std::vector<RunningStatistics*>& layers() const { return layers_; }

  static std::vector<BatchNormTotal> read(const RunningStatistics& layer) {
    std::vector<BatchNormTotal> totals(static_cast<size_t>(layer.channels));
    device_api::copy(Device{}, totals.data(), layer.totals.device(), layer.totals.data(), layer.totals.bytes());
    return totals;
  }

 private:
  static constexpr int64_t kBytes = sizeof(BatchNormTotal);
  std::vector<RunningStatistics*> layers_;
};

struct Exact {
  std::vector<float> mean, variance;
};

/// The totals of all ranks together: Chan, Golub and LeVeque 1979, in the order of the ranks.
std::vector<BatchNormTotal> totals_of_all(Communicator& ranks, const std::vector<BatchNormTotal>& own) {
  if (ranks.alone()) {
    return own;
  }
  std::vector<BatchNormTotal> all(own.size(), BatchNormTotal{});
  for (const std::string& bytes :
       ranks.gather({reinterpret_cast<const char*>(own.data()), own.size() * sizeof(BatchNormTotal)})) {
    std::vector<BatchNormTotal> part(own.size());
    std::memcpy(part.data(), bytes.data(), bytes.size());
    for (size_t i = 0; i < all.size(); ++i) {
      BatchNormTotal& sum = all[i];
      const double count = sum.count + part[i].count;
      if (part[i].count > 0) {
        const double difference = part[i].mean - sum.mean;
        sum.squares += part[i].squares + difference * difference * sum.count * part[i].count / count;
        sum.mean += difference * part[i].count / count;
        sum.count = count;
      }
    }
  }
  return all;
}

Exact exact(const RunningStatistics& layer, Communicator& ranks) {
  Exact result;
  for (const BatchNormTotal& total : totals_of_all(ranks, Totals::read(layer))) {
    result.mean.push_back(static_cast<float>(total.mean));
    result.variance.push_back(static_cast<float>(total.squares / total.count));
    if (!std::isfinite(result.mean.back()) || !std::isfinite(result.variance.back())) {
      fail("{}: channel {} has the mean {} and the variance {} over {} values; wanted finite numbers", layer.name,
           result.mean.size() - 1, total.mean, total.squares / total.count, total.count);
    }
  }
  return result;
}

}  // namespace

bool compute_exact_statistics(Module& model, ParameterStore& store, InputFormat input, Loader& loader, int64_t images,
                              const std::function<bool()>& stop, Communicator* several) {
  const NoGrad no_grad;
  OneProcess alone;
  Communicator& ranks = several != nullptr ? *several : alone;
  const Device device = store.options().device;
  const Totals totals(store);
  BatchUpload upload(device);
  loader.start(0);
  for (int64_t left = images; left > 0;) {
    if (largest(ranks, stop() ? 1 : 0) > 0) {
      return false;
    }
    const Batch& part = loader.next_of_any_epoch();
    const int64_t wanted = std::min(left, part.whole);  // the batch's first ones, whichever ranks have them
    left -= wanted;
    const int64_t rows = std::min(wanted - share_of(part.whole, ranks.rank(), ranks.world()).first, part.labels.size());
    if (rows <= 0) {
      continue;
    }
    const Batch& batch = upload.upload(rows_of(part, 0, rows));
    input.height = batch.height;
    input.width = batch.width;
    model.forward(prepare_input(batch.images, batch.views, input), Mode::train);
    device_api::save_plans(device);
    upload.used();
  }
  std::vector<Exact> statistics;
  for (const RunningStatistics* layer : totals.layers()) {
    statistics.push_back(exact(*layer, ranks));
  }
  for (size_t i = 0; i < statistics.size(); ++i) {
    totals.layers()[i]->running_mean.copy_from(statistics[i].mean);
    totals.layers()[i]->running_variance.copy_from(statistics[i].variance);
  }
  return true;
}

}  // namespace residua
