#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "core/nn/state_dict.h"
#include "core/run/checkpoint.h"
#include "core/run/run_folder.h"

namespace residua {
namespace {

constexpr const char* kBatchesTracked = ".num_batches_tracked";
constexpr std::string_view kDataParallel = "module.";

/// The first few names, for a one-line message. Names come from the file and may contain anything.
std::string some_of(const std::vector<std::string>& names) {
  constexpr size_t kShown = 3;
  constexpr size_t kLength = 80;
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kShown); ++i) {
    text += fmt::format("{}{:?}", i > 0 ? ", " : "", names[i].substr(0, kLength));
  }
  return names.size() > kShown ? fmt::format("{} and {} more", text, names.size() - kShown) : text;
}

/// The arrays of a file. They are taken one by one, with the name and shape that the model expects.
class Checked {
 public:
  Checked(const Safetensors& file, std::string_view classifier) : path_(file.path), classifier_(classifier) {
    for (const HostArray& array : file.arrays) {
      if (!array.name.starts_with(kInputPrefix)) {
        arrays_.emplace(array.name, &array);
      }
    }
  }

  /// Leaves out the classifier's arrays.
  void drop_classifier() {
    std::erase_if(arrays_, [this](const auto& entry) { return entry.first.starts_with(classifier_); });
  }

  /// Returns the values. If the array is missing, returns nothing and records the name for finish().
  std::vector<float> take(const std::string& name, const Shape& wanted) {
    const auto found = arrays_.find(name);
    if (found == arrays_.end()) {
      missing_.push_back(name);
      return {};
    }
    const HostArray& array = *found->second;
    arrays_.erase(found);
    check_shape(array, wanted);
    if (!is_floating(array.dtype)) {
      fail_usage("{} does not fit the model: {} has the element type {}, wanted f32, f16 or bf16", path_, name,
                 residua::name(array.dtype));
    }
    std::vector<float> values = array.to_floats();
    const auto bad = std::ranges::find_if_not(values, [](float value) { return std::isfinite(value); });
    if (bad != values.end()) {
      fail_usage("{}: {} has the value {} at position {}, wanted finite numbers: the file is damaged, or the run diverged",
                 path_, name, *bad, bad - values.begin());
    }
    return values;
  }

  /// Returns a count; 0 if the file has none, as with older versions of PyTorch.
  int64_t take_count(const std::string& name) {
    const auto found = arrays_.find(name);
    if (found == arrays_.end()) {
      return 0;
    }
    const HostArray& array = *found->second;
    arrays_.erase(found);
    if (array.dtype != DType::i64 || array.size() != 1 || array.span<int64_t>()[0] < 0) {
      fail_usage("{} does not fit the model: {} is {} {}, wanted a single i64 count", path_, name, residua::name(array.dtype),
                 shape_text(array.shape));
    }
    return array.span<int64_t>()[0];
  }

  void finish() const {
    std::vector<std::string> unexpected;
    for (const auto& [name, array] : arrays_) {
      unexpected.push_back(name);
    }
    if (!missing_.empty() || !unexpected.empty()) {
      fail_usage("{} does not fit the model: {}{}{}", path_, missing_.empty() ? "" : "it lacks " + some_of(missing_),
                 missing_.empty() || unexpected.empty() ? "" : "; ",
                 unexpected.empty() ? "" : "the model lacks " + some_of(unexpected));
    }
  }

 private:
  void check_shape(const HostArray& array, const Shape& wanted) const {
    const std::span<const int64_t> sizes = wanted.sizes();
    if (std::ranges::equal(array.shape, sizes)) {
      return;
    }
    const std::string shapes = fmt::format("{} is {}, wanted {}", array.name, shape_text(array.shape), wanted.string());
    if (array.name.starts_with(classifier_) && array.shape.size() == sizes.size() && array.shape[0] != sizes[0]) {
      fail_usage("{} has {} classes, but the model has {} ({})", path_, array.shape[0], sizes[0], shapes);
    }
    fail_usage("{} does not fit the model: {}", path_, shapes);
  }

  const std::string& path_;
  std::string_view classifier_;
  std::map<std::string, const HostArray*> arrays_;
  std::vector<std::string> missing_;
};

}  // namespace

std::vector<HostArrayView> weight_arrays(const StateSnapshot& snapshot) {
  std::vector<HostArrayView> result = views(snapshot.weights);
  for (size_t i = 0; i < snapshot.running_means.size(); ++i) {
    const std::string& layer = snapshot.running_means[i].name;
    result.push_back(view(snapshot.running_means[i], layer + ".running_mean"));
    result.push_back(view(snapshot.running_variances[i], layer + ".running_var"));
    result.push_back({.name = layer + kBatchesTracked,
                      .dtype = DType::i64,
                      .shape = {},
                      .bytes = std::as_bytes(std::span(&snapshot.batches_tracked, 1))});
  }
  return result;
}

void save_weights(const std::string& path, const StateSnapshot& snapshot, const SafetensorsMetadata& metadata,
                  std::span<const HostArray> input) {
  std::vector<HostArrayView> arrays = weight_arrays(snapshot);
  for (const HostArray& array : input) {
    arrays.push_back(view(array, array.name));
  }
  save_safetensors(path, arrays, metadata);
}

Safetensors read_weights(const std::string& path) {
  Safetensors file = load_safetensors(path);
  if (is_checkpoint(file.metadata)) {
    const std::string weights = weights_beside(path);
    fail_usage(
        "{} is a checkpoint for resuming a run, not a weights file: {}", path,
        weights.empty() ? fmt::format("wanted the run's {} or {}", kLastFile, kBestFile) : fmt::format("use {}", weights));
  }
  const auto is_prefixed = [](const HostArray& array) { return array.name.starts_with(kDataParallel); };
  if (std::ranges::all_of(file.arrays, is_prefixed)) {
    for (HostArray& array : file.arrays) {
      array.name.erase(0, kDataParallel.size());
    }
  }
  return file;
}

void load_weights(const Safetensors& file, ParameterStore& store, std::string_view classifier, StoredClassifier stored) {
  Checked checked(file, classifier);
  const bool ignored = stored == StoredClassifier::ignore;
  if (ignored) {
    checked.drop_classifier();
  }
  std::vector<std::pair<const Parameter*, std::vector<float>>> weights;
  std::vector<std::pair<Tensor, std::vector<float>>> statistics;
  int64_t batches_tracked = 0;
  for (const Parameter* parameter : store.parameters()) {
    if (!ignored || !parameter->name.starts_with(classifier)) {
      weights.emplace_back(parameter, checked.take(parameter->name, parameter->logical));
    }
  }
  for (const RunningStatistics* layer : store.statistics()) {
    statistics.emplace_back(layer->running_mean, checked.take(layer->name + ".running_mean", {layer->channels}));
    statistics.emplace_back(layer->running_variance, checked.take(layer->name + ".running_var", {layer->channels}));
    batches_tracked = std::max(batches_tracked, checked.take_count(layer->name + kBatchesTracked));
  }
  checked.finish();

  for (const auto& [parameter, values] : weights) {
    from_logical(*parameter, values, parameter->master);
  }
  for (const auto& [target, values] : statistics) {
    target.copy_from(values);
  }
  store.batches_tracked = batches_tracked;
  store.masters_changed();
}

}  // namespace residua
