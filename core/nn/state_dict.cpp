#include "core/nn/state_dict.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

namespace residua {
namespace {

constexpr const char* kBatchesTracked = ".num_batches_tracked";
constexpr const char* kClassifier = "fc.";

/// The first names of many, for a message of one line; a file's names can be anything.
std::string some_of(const std::vector<std::string>& names) {
  constexpr size_t kShown = 3;
  constexpr size_t kLength = 80;
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kShown); ++i) {
    text += fmt::format("{}{:?}", i > 0 ? ", " : "", names[i].substr(0, kLength));
  }
  return names.size() > kShown ? fmt::format("{} and {} more", text, names.size() - kShown) : text;
}

/// A file's tensors, taken one by one by the name and shape that the model has.
class Checked {
 public:
  explicit Checked(const Safetensors& file) : path_(file.path) {
    for (const NamedTensor& item : file.tensors) {
      tensors_.emplace(item.name, &item.tensor);
    }
  }

  /// nullptr, and a note for finish(), when it is missing.
  const Tensor* take(const std::string& name, const Shape& wanted) {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) {
      missing_.push_back(name);
      return nullptr;
    }
    const Tensor& tensor = *found->second;
    tensors_.erase(found);
    if (tensor.shape() != wanted) {
      if (name.starts_with(kClassifier) && tensor.shape().rank() == wanted.rank() && tensor.dim(0) != wanted.dim(0)) {
        fail_usage("{} classifies into {} classes, the model into {} ({} is {}, wanted {})", path_, tensor.dim(0),
                   wanted.dim(0), name, tensor.shape().string(), wanted.string());
      }
      fail_usage("{} does not fit the model: {} is {}, wanted {}", path_, name, tensor.shape().string(), wanted.string());
    }
    if (!is_floating(tensor.dtype())) {
      fail_usage("{} does not fit the model: {} has the element type {}, wanted f32, f16 or bf16", path_, name,
                 residua::name(tensor.dtype()));
    }
    return &tensor;
  }

  /// A count that files of older PyTorch lack.
  int64_t take_count(const std::string& name) {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) {
      return 0;
    }
    const Tensor& tensor = *found->second;
    tensors_.erase(found);
    if (tensor.dtype() != DType::i64 || tensor.size() != 1 || tensor.span<int64_t>()[0] < 0) {
      fail_usage("{} does not fit the model: {} is {} {}, wanted one count in i64", path_, name, residua::name(tensor.dtype()),
                 tensor.shape().string());
    }
    return tensor.span<int64_t>()[0];
  }

  void finish() const {
    std::vector<std::string> unexpected;
    for (const auto& [name, tensor] : tensors_) {
      unexpected.push_back(name);
    }
    if (!missing_.empty() || !unexpected.empty()) {
      fail_usage("{} does not fit the model: {}{}{}", path_, missing_.empty() ? "" : "it lacks " + some_of(missing_),
                 missing_.empty() || unexpected.empty() ? "" : "; ",
                 unexpected.empty() ? "" : "the model lacks " + some_of(unexpected));
    }
  }

 private:
  const std::string& path_;
  std::map<std::string, const Tensor*> tensors_;
  std::vector<std::string> missing_;
};

std::array<std::pair<std::string, Tensor>, 2> named(const RunningStatistics& layer) {
  return {{{layer.name + ".running_mean", layer.running_mean}, {layer.name + ".running_var", layer.running_variance}}};
}

}  // namespace

void save_model_weights(const std::string& path, const ParameterStore& store, const SafetensorsMetadata& metadata) {
  std::vector<NamedTensor> tensors;
  for (const Parameter* parameter : store.parameters()) {
    tensors.push_back({parameter->name, from_values(parameter->logical, to_logical(*parameter, parameter->master))});
  }
  for (const RunningStatistics* layer : store.statistics()) {
    for (auto& [name, tensor] : named(*layer)) {
      tensors.push_back({name, tensor});
    }
    const Tensor count = empty({}, DType::i64);
    count.span<int64_t>()[0] = store.batches_tracked;
    tensors.push_back({layer->name + kBatchesTracked, count});
  }
  save_safetensors(path, tensors, metadata);
}

void load_model_weights(const Safetensors& file, ParameterStore& store) {
  Checked checked(file);
  std::vector<std::pair<const Parameter*, const Tensor*>> weights;
  std::vector<std::pair<Tensor, const Tensor*>> statistics;
  int64_t batches_tracked = 0;
  for (const Parameter* parameter : store.parameters()) {
    weights.emplace_back(parameter, checked.take(parameter->name, parameter->logical));
  }
  for (const RunningStatistics* layer : store.statistics()) {
    for (auto& [name, tensor] : named(*layer)) {
      statistics.emplace_back(tensor, checked.take(name, tensor.shape()));
    }
    batches_tracked = std::max(batches_tracked, checked.take_count(layer->name + kBatchesTracked));
  }
  checked.finish();

  for (const auto& [parameter, source] : weights) {
    from_logical(*parameter, source->to_vector(), parameter->master);
  }
  for (const auto& [target, source] : statistics) {
    target.copy_from(source->to_vector());
  }
  store.batches_tracked = batches_tracked;
  store.masters_changed();
}

}  // namespace residua
