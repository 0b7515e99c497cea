#include "core/train/checkpoint.h"

#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/io/safetensors.h"

namespace residua {
namespace {

constexpr const char* kStateKey = "residua.train_state";

std::string to_json(const TrainState& s, int64_t batches_tracked) {
  return nlohmann::json{{"model", s.model},
                        {"epoch", s.epoch},
                        {"batch", s.batch},
                        {"iteration", s.iteration},
                        {"validated", s.validated},
                        {"seed", s.seed},
                        {"batch_size", s.batch_size},
                        {"best_error", s.best_error},
                        {"schedule", s.schedule},
                        {"loss_scale", s.loss_scale},
                        {"good_steps", s.good_steps},
                        {"images", s.images},
                        {"batches_tracked", batches_tracked}}
      .dump();
}

TrainState from_json(const std::string& path, const std::string& text, int64_t& batches_tracked) {
  try {
    const nlohmann::json j = nlohmann::json::parse(text);
    TrainState s;
    j.at("model").get_to(s.model);
    j.at("epoch").get_to(s.epoch);
    j.at("batch").get_to(s.batch);
    j.at("iteration").get_to(s.iteration);
    s.validated = j.value("validated", s.iteration);
    j.at("seed").get_to(s.seed);
    j.at("batch_size").get_to(s.batch_size);
    s.images = j.value("images", int64_t{0});
    j.at("best_error").get_to(s.best_error);
    // JSON has no infinity: a plateau schedule that has not seen an error yet writes null.
    for (const nlohmann::json& value : j.at("schedule")) {
      s.schedule.push_back(value.is_null() ? std::numeric_limits<double>::infinity() : value.get<double>());
    }
    j.at("loss_scale").get_to(s.loss_scale);
    j.at("good_steps").get_to(s.good_steps);
    j.at("batches_tracked").get_to(batches_tracked);
    return s;
  } catch (const nlohmann::json::exception& error) {
    fail_usage("{}: the training state is damaged: {}", path, error.what());
  }
}

}  // namespace

void save_checkpoint(const std::string& path, const ParameterStore& store, const TrainState& state) {
  std::vector<NamedTensor> tensors;
  for (const Parameter* p : store.parameters()) {
    tensors.push_back({"weight." + p->name, from_values(p->logical, to_logical(*p, p->master))});
    tensors.push_back({"velocity." + p->name, from_values(p->logical, to_logical(*p, p->velocity))});
  }
  for (const RunningStatistics* s : store.statistics()) {
    tensors.push_back({"running_mean." + s->name, s->running_mean});
    tensors.push_back({"running_variance." + s->name, s->running_variance});
  }
  save_safetensors(path, tensors, {{kStateKey, to_json(state, store.batches_tracked)}});
}

TrainState load_checkpoint(const std::string& path, const std::string& model, ParameterStore& store) {
  const Safetensors file = load_safetensors(path);
  const auto text = file.metadata.find(kStateKey);
  if (text == file.metadata.end()) {
    fail_usage("{} holds weights, not the state of a training run: give it to --weights, or --resume a checkpoint.safetensors",
               path);
  }
  int64_t batches_tracked = 0;
  TrainState state = from_json(path, text->second, batches_tracked);
  if (state.model != model) {
    fail_usage("{} is of the model {}, this run trains {}", path, state.model, model);
  }
  // All checks come before the first change.
  std::vector<std::function<void()>> changes;
  const auto find = [&](const std::string& name, const Shape& shape) {
    const Tensor* tensor = file.find(name);
    if (tensor == nullptr) {
      fail_usage("{} has no array {}", path, name);
    }
    if (tensor->shape() != shape || tensor->dtype() != DType::f32) {
      fail_usage("{}: {} is {} {}, wanted f32 {}", path, name, residua::name(tensor->dtype()), tensor->shape().string(),
                 shape.string());
    }
    return *tensor;
  };
  for (Parameter* p : store.parameters()) {
    for (const auto& [name, target] :
         {std::pair{"weight." + p->name, p->master}, std::pair{"velocity." + p->name, p->velocity}}) {
      changes.emplace_back(
          [p, target = target, source = find(name, p->logical)] { from_logical(*p, source.span<float>(), target); });
    }
  }
  for (const RunningStatistics* s : store.statistics()) {
    for (const auto& [name, target] : {std::pair{"running_mean." + s->name, s->running_mean},
                                       std::pair{"running_variance." + s->name, s->running_variance}}) {
      changes.emplace_back([target = target, source = find(name, target.shape())] { target.copy_from(source); });
    }
  }
  for (const auto& change : changes) {
    change();
  }
  store.batches_tracked = batches_tracked;
  store.masters_changed();
  return state;
}

}  // namespace residua
