#include "core/nn/parameter_store.h"

#include <set>

#include "core/base/join.h"
#include "core/kernels/batch_norm.h"
#include "core/kernels/cast.h"
#include "core/kernels/fill.h"
#include "core/kernels/run.h"

namespace residua {
namespace {

/// In elements: 64 bytes of the smallest type that an arena may have.
constexpr int64_t kAlignment = 32;

int64_t aligned(int64_t size) { return (size + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

ParameterStore::ParameterStore(Module& model, const ParameterStoreOptions& options)
    : options_(options), parameters_(model.parameters()), statistics_(model.statistics()) {
  const DType gradient =
      options.matrix_gradient.value_or(options.device.type == Device::Type::cpu ? DType::f32 : options.compute);
  if (!is_floating(options.compute) || !is_floating(gradient)) {
    fail("parameters can be kept in f32, f16 or bf16, not {} with {} gradients", name(options.compute), name(gradient));
  }
  std::set<std::string> names;
  for (const Parameter* parameter : parameters_) {
    if (!names.insert(parameter->name).second) {
      fail("two parameters are named {}", parameter->name);
    }
  }
  lay_out(matrices_, ParameterRole::matrix, gradient);
  lay_out(vectors_, ParameterRole::vector, DType::f32);
  lay_out_statistics();
}

void ParameterStore::lay_out(ParameterArena& arena, ParameterRole role, DType gradient_dtype) {
  for (const Parameter* parameter : parameters_) {
    arena.size += parameter->role == role ? aligned(parameter->shape.size()) : 0;
  }
  const bool training = options_.purpose == Purpose::training;
  const bool with_copy = role == ParameterRole::matrix && options_.compute != DType::f32;
  const Shape shape{arena.size};
  arena.master = zeros(shape, DType::f32, options_.device);
  arena.copy = with_copy ? zeros(shape, options_.compute, options_.device) : Tensor();
  arena.velocity = training ? zeros(shape, DType::f32, options_.device) : Tensor();
  arena.gradient = training ? zeros(shape, gradient_dtype, options_.device) : Tensor();

  int64_t offset = 0;
  for (Parameter* parameter : parameters_) {
    if (parameter->role != role) {
      continue;
    }
    parameter->master = arena.master.slice(offset, parameter->shape);
    parameter->value = with_copy ? arena.copy.slice(offset, parameter->shape) : parameter->master;
    if (training) {
      parameter->velocity = arena.velocity.slice(offset, parameter->shape);
      parameter->gradient = arena.gradient.slice(offset, parameter->shape);
      parameter->value.set_requires_grad(true);
      parameter->value.set_grad_buffer(parameter->gradient);
    }
    offset += aligned(parameter->shape.size());
  }
}

void ParameterStore::lay_out_statistics() {
  StatisticsArena& arena = statistics_arena_;
  for (const RunningStatistics* layer : statistics_) {
    arena.channels += aligned(layer->channels);
  }
  const Shape shape{arena.channels};
  for (Tensor* tensor :
       {&arena.running_mean, &arena.running_variance, &arena.batch_mean, &arena.batch_variance, &arena.bessel_correction}) {
    *tensor = zeros(shape, DType::f32, options_.device);
  }
  arena.pass_means = zeros({2, arena.channels}, DType::f32, options_.device);
  int64_t offset = 0;
  for (RunningStatistics* layer : statistics_) {
    const Shape view{layer->channels};
    layer->running_mean = arena.running_mean.slice(offset, view);
    layer->running_variance = arena.running_variance.slice(offset, view);
    layer->batch_mean = arena.batch_mean.slice(offset, view);
    layer->batch_variance = arena.batch_variance.slice(offset, view);
    layer->bessel_correction = arena.bessel_correction.slice(offset, view);
    layer->running_variance.copy_from(full(view, 1.0f, DType::f32, options_.device));
    offset += aligned(layer->channels);
  }
}

Parameter& ParameterStore::parameter(const std::string& name) const {
  for (Parameter* parameter : parameters_) {
    if (parameter->name == name) {
      return *parameter;
    }
  }
  fail_usage("the model has no parameter named {}", name);
}

/// The index behind the last parameter of a module.
size_t ParameterStore::end_of(const std::string& module) const {
  size_t end = 0;
  std::vector<std::string> modules;  // the outermost ones
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const std::string& name = parameters_[i]->name;
    if (name.starts_with(module + ".")) {
      end = i + 1;
    }
    if (const std::string outermost = name.substr(0, name.find('.')); modules.empty() || modules.back() != outermost) {
      modules.push_back(outermost);
    }
  }
  if (end == 0 || end == parameters_.size()) {
    modules.pop_back();
    fail_setting("freeze-until", module,
                 fmt::format("{}, or a module inside one of them{}", join(modules, ", "),
                             end == 0 ? "" : ": this one would leave nothing to train"));
  }
  return end;
}

void ParameterStore::freeze_until(const std::string& module) {
  const size_t end = end_of(module);
  matrices_.frozen = vectors_.frozen = statistics_arena_.frozen = 0;
  std::set<std::string> trained;  // layers
  for (size_t i = 0; i < parameters_.size(); ++i) {
    Parameter& parameter = *parameters_[i];
    if (i >= end) {
      trained.insert(parameter.name.substr(0, parameter.name.rfind('.')));
      continue;
    }
    parameter.frozen = true;
    parameter.value.set_requires_grad(false);
    (parameter.role == ParameterRole::matrix ? matrices_ : vectors_).frozen += aligned(parameter.shape.size());
  }
  for (RunningStatistics* layer : statistics_) {
    layer->frozen = !trained.contains(layer->name);
    statistics_arena_.frozen += layer->frozen ? aligned(layer->channels) : 0;
  }
}

void ParameterStore::masters_changed() {
  if (matrices_.copy.defined()) {
    run(options_.device, Cast{
                             .x_dtype = DType::f32,
                             .y_dtype = options_.compute,
                             .size = matrices_.size,
                             .x = matrices_.master.data(),
                             .y = matrices_.copy.data(),
                         });
  }
}

namespace {

/// Groups and ranks exclude each other.
void check_groups(int64_t images, const Communicator* ranks) {
  if (images > 0 && ranks != nullptr) {
    fail_setting("sync-bn", "true", fmt::format("false together with groups of {} images, which are on one rank", images));
  }
}

}  // namespace

void ParameterStore::set_group_images(int64_t images) {
  for (RunningStatistics* layer : statistics_) {
    check_groups(images, layer->ranks);
    layer->group_images = images;
  }
}

void ParameterStore::synchronize_norms(Communicator& ranks) {
  for (RunningStatistics* layer : statistics_) {
    check_groups(layer->group_images, &ranks);
    layer->ranks = &ranks;
  }
}

namespace {

/// Commits the statistics of the layers that training changes. Frozen layers are at the front of the arena.
void commit(Device device, const StatisticsArena& arena, BatchNormCommit all) {
  if (arena.channels == arena.frozen) {
    return;
  }
  all.channels -= arena.frozen;
  all.batch_mean += arena.frozen;
  all.batch_variance += arena.frozen;
  all.bessel_correction += all.bessel_correction == nullptr ? 0 : arena.frozen;
  all.running_mean += arena.frozen;
  all.running_variance += arena.frozen;
  run(device, all);
}

}  // namespace

void ParameterStore::commit_statistics(float momentum, const StepState* state) {
  const StatisticsArena& statistics = statistics_arena_;
  commit(options_.device, statistics,
         {.channels = statistics.channels,
          .momentum = momentum,
          .state = state,
          .batch_mean = statistics.batch_mean.data<float>(),
          .batch_variance = statistics.batch_variance.data<float>(),
          .bessel_correction = statistics.bessel_correction.data<float>(),
          .running_mean = statistics.running_mean.data<float>(),
          .running_variance = statistics.running_variance.data<float>()});
}

void ParameterStore::note_pass(int64_t pass) {
  const StatisticsArena& statistics = statistics_arena_;
  float* means = statistics.pass_means.data<float>();
  if (pass == 0 && statistics.channels > 0) {  // also forgets a skipped step's, which may be NaN
    run(options_.device, Fill{.dtype = DType::f32, .size = statistics.pass_means.size(), .value = 0, .x = means});
  }
  commit(options_.device, statistics,
         {.channels = statistics.channels,
          .momentum = 1 / static_cast<float>(pass + 1),  // makes the running mean that of all passes
          .state = nullptr,
          .batch_mean = statistics.batch_mean.data<float>(),
          .batch_variance = statistics.batch_variance.data<float>(),
          .bessel_correction = statistics.bessel_correction.data<float>(),
          .running_mean = means,
          .running_variance = means + statistics.channels});
}

void ParameterStore::commit_passes(float momentum, const StepState* state) {
  const StatisticsArena& statistics = statistics_arena_;
  const float* means = statistics.pass_means.data<float>();
  commit(options_.device, statistics,
         {.channels = statistics.channels,
          .momentum = momentum,
          .state = state,
          .batch_mean = means,
          .batch_variance = means + statistics.channels,
          .bessel_correction = nullptr,
          .running_mean = statistics.running_mean.data<float>(),
          .running_variance = statistics.running_variance.data<float>()});
}

void ParameterStore::count_batches(const StepState& state) {
  batches_tracked += state.accepted_steps - counted_batches_;
  counted_batches_ = state.accepted_steps;
}

void ParameterStore::zero_grad() {
  for (Parameter* parameter : parameters_) {
    parameter->value.zero_grad();
  }
}

}  // namespace residua
