#include "core/train/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "core/data/digest.h"
#include "core/io/atomic_file.h"
#include "core/nn/initialization.h"
#include "core/nn/state_dict.h"
#include "core/run/event_log.h"
#include "core/run/run_folder.h"
#include "core/run/tensorboard.h"
#include "core/train/progress.h"
#include "core/train/validation_times.h"

namespace residua {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

InputFormat input_format(const TrainerSetup& s) {
  std::array<float, 3> inverse_std;
  std::ranges::transform(s.statistics.std, inverse_std.begin(), [](float std) { return 1.0f / std; });
  return {.channels = s.input_channels,
          .dtype = s.precision,
          .mean = mean_tensor(s.statistics.mean, *s.options.crop_size, s.device),
          .inverse_std = from_values({3}, inverse_std, DType::f32, s.device)};
}

LoaderOptions loader_options(const TrainerSetup& setup) {
  const TrainOptions& o = setup.options;
  LoaderOptions options;
  options.device = setup.device;
  options.batch_size = *o.batch_size;
  options.crop_size = *o.crop_size;
  options.seed = static_cast<uint64_t>(o.seed);
  options.workers = o.workers;
  options.max_bad_images = o.max_bad_images;
  return options;
}

}  // namespace

/// Writes what happens to the terminal, log.jsonl and TensorBoard.
class Trainer::Reporter {
 public:
  Reporter(const Trainer& trainer, const RunState& state, bool resumed, int64_t total_iterations, int64_t images)
      : options_(trainer.setup_.options),
        log_(resumed ? EventLog::resume(trainer.path(kLogFile), state.iteration) : EventLog::create(trainer.path(kLogFile))),
        tensorboard_(options_.output, resumed ? state.iteration : -1),
        progress_(stdout),
        total_iterations_(total_iterations),
        images_(images) {}

  /// Reports the steps since the last report, whose metrics these are.
  void train(const RunState& state, const Metrics& m, double rate, double wait_seconds, int64_t validations_left) {
    const double seconds = seconds_since(start_);
    const TrainRecord record{
        .iteration = state.iteration,
        .epoch = epoch(state),
        .loss = m.loss,
        .top1_error = m.top1_error,
        .top5_error = m.top5_error,
        .lr = rate,
        .images_per_second = static_cast<double>((state.iteration - reported_iteration_) * batch_images(state)) / seconds,
        .data_wait = (wait_seconds - wait_seconds_) / seconds};
    log_.write(record);
    tensorboard_.scalar("train/loss", state.iteration, record.loss);
    tensorboard_.scalar("train/top1_error", state.iteration, record.top1_error);
    tensorboard_.scalar("train/top5_error", state.iteration, record.top5_error);
    tensorboard_.scalar("train/lr", state.iteration, record.lr);
    tensorboard_.scalar("train/images_per_second", state.iteration, record.images_per_second);
    tensorboard_.scalar("train/data_wait", state.iteration, record.data_wait);
    const int64_t steps = state.iteration - reported_iteration_;
    const double eta =
        static_cast<double>(total_iterations_ - state.iteration) * seconds / static_cast<double>(std::max<int64_t>(steps, 1)) +
        static_cast<double>(validations_left) * validation_seconds_;
    progress_.train(record, total_iterations_, eta);
    restart(state, wait_seconds);
  }

  void validation(const RunState& state, const Metrics& m) {
    const ValidationRecord record{.iteration = state.iteration,
                                  .epoch = epoch(state),
                                  .loss = m.loss,
                                  .top1_error = m.top1_error,
                                  .top5_error = m.top5_error};
    log_.write(record);
    tensorboard_.scalar("validation/loss", state.iteration, record.loss);
    tensorboard_.scalar("validation/top1_error", state.iteration, record.top1_error);
    tensorboard_.scalar("validation/top5_error", state.iteration, record.top5_error);
    progress_.validation(record);
  }

  void note(const std::string& text) { progress_.note(text); }

  /// Names the images that a loader has skipped since the last call.
  void skipped_images(const RunState& state, Loader& loader) {
    for (const std::string& message : loader.errors().take_new()) {
      progress_.note("skipped " + message);
      log_.write(nlohmann::ordered_json{{"type", "skipped_image"}, {"iteration", state.iteration}, {"message", message}});
    }
  }

  /// After a validation and what belongs to it, which began after the last stretch of steps.
  void end_validation(const RunState& state, double wait_seconds) {
    validation_seconds_ = seconds_since(start_);
    restart(state, wait_seconds);
  }

  /// Begins the next stretch of steps: what was spent outside of training is not counted.
  void restart(const RunState& state, double wait_seconds) {
    start_ = Clock::now();
    wait_seconds_ = wait_seconds;
    reported_iteration_ = state.iteration;
  }

 private:
  double epoch(const RunState& state) const {
    return static_cast<double>(state.epoch) +
           static_cast<double>(std::min(state.batch * batch_images(state), images_)) / static_cast<double>(images_);
  }
  int64_t batch_images(const RunState& state) const { return std::min(state.batch_size, images_); }

  const TrainOptions& options_;
  EventLog log_;
  TensorBoardWriter tensorboard_;
  Progress progress_;
  int64_t total_iterations_;
  int64_t images_;
  Clock::time_point start_ = Clock::now();
  double wait_seconds_ = 0;
  double validation_seconds_ = 0;  // of the last one
  int64_t reported_iteration_ = 0;
};

Trainer::Trainer(TrainerSetup setup)
    : setup_(std::move(setup)),
      store_(*setup_.model, {.device = setup_.device, .compute = setup_.precision}),
      sgd_(store_, {.momentum = static_cast<float>(setup_.options.momentum),
                    .weight_decay = static_cast<float>(setup_.options.weight_decay),
                    .loss_scaling = setup_.precision == DType::f16 ? std::optional(LossScaling{}) : std::nullopt}),
      step_(*setup_.model, store_, sgd_,
            {.input = input_format(setup_),
             .label_smoothing = static_cast<float>(setup_.options.label_smoothing),
             .capture = setup_.options.cuda_graph == "off" ? Capture::off : Capture::on}),
      evaluator_(*setup_.model, input_format(setup_), setup_.device) {
  initialize(store_, static_cast<uint64_t>(setup_.options.seed),
             setup_.options.initialization == "fan-in" ? FanMode::fan_in : FanMode::fan_out);
  // Those that a resumed run began from may be gone.
  const std::string& weights = setup_.options.weights;
  if (!weights.empty() && (checkpoint_to_resume(setup_.options).empty() || std::filesystem::exists(weights))) {
    begin_with_weights(weights);
  }
  if (setup_.val != nullptr) {
    LoaderOptions options = loader_options(setup_);
    options.pad_last = setup_.device.type == Device::Type::cuda;  // no plan is tuned for a remainder
    val_loader_ = std::make_unique<Loader>(setup_.val, options);
  }
}

Loader Trainer::make_train_loader() const {
  LoaderOptions options = loader_options(setup_);
  options.view = make_view(*setup_.options.augment, options.crop_size);
  options.bad_images = BadImages::replace;
  options.shuffle = !setup_.options.no_shuffle;
  // In a fixed order the same images would be left out in each epoch.
  options.drop_last = options.shuffle && setup_.train->size() >= options.batch_size;
  return Loader(setup_.train, options);
}

int64_t Trainer::total_iterations(const Loader& loader) const {
  const TrainOptions& o = setup_.options;
  return o.iterations ? *o.iterations : std::max<int64_t>(1, std::llround(*o.epochs * static_cast<double>(loader.batches())));
}

void Trainer::begin_with_weights(const std::string& path) {
  const Safetensors file = read_weights(path);
  const auto stored = file.metadata.find("classes");
  if (stored != file.metadata.end() && !setup_.options.evaluate_only) {
    try {
      const std::vector<std::string> names = nlohmann::json::parse(stored->second);
      if (const std::string different = different_class_names(names, setup_.train->class_names()); !different.empty()) {
        fail_usage("{} is of other classes: {}: their labels would be mixed up; give the classes their old names", path,
                   different);
      }
    } catch (const nlohmann::json::exception&) {
      fail_usage("{}: its metadata 'classes' is not a list of names", path);
    }
  }
  load_weights(file, store_, setup_.classifier);
}

bool Trainer::resume(RunState& state) {
  const std::string file = checkpoint_to_resume(setup_.options);
  if (file.empty()) {
    return false;
  }
  const RunState loaded = resume_run(file, state, store_);
  const RunState begun = std::exchange(state, loaded);
  if (!std::filesystem::exists(path(kBestFile))) {
    state.best_error = RunState().best_error;  // of another folder, whose best weights are not here
  }
  // A run that does not scale its loss stores 1: to begin with that in fp16 would lose small gradients.
  if (setup_.precision != DType::f16 || loaded.loss_scale == 1) {
    state.loss_scale = begun.loss_scale;
    state.good_steps = begun.good_steps;
  }
  sgd_.set_loss_scale(state.loss_scale, state.good_steps);
  return true;
}

void Trainer::fail_diverged(const std::string& what, const RunState& state) const {
  const std::string checkpoint = path(kCheckpointFile);
  fail("{} by iteration {}: lower --lr, use --warmup-iterations, or --precision fp32; {}", what, state.iteration,
       std::filesystem::exists(checkpoint) ? "the last good state is in " + checkpoint : "no state had been saved yet");
}

void Trainer::save(const RunState& state, bool best) const {
  const StateSnapshot now = snapshot(store_);
  if (const std::optional<std::string> name = now.first_not_finite()) {
    fail_diverged(fmt::format("{} has values that are not finite", *name), state);
  }
  SafetensorsMetadata metadata = setup_.metadata;
  metadata["iteration"] = std::to_string(state.iteration);
  save_weights(path(kLastFile), now, metadata);
  if (best) {
    save_weights(path(kBestFile), now, metadata);
  }
  save_run(path(kCheckpointFile), state, now);
}

int Trainer::train(const volatile std::sig_atomic_t& stop) {
  const TrainOptions& o = setup_.options;
  Loader loader = make_train_loader();
  const int64_t total = total_iterations(loader);
  Schedule schedule(schedule_options(o, loader.batches(), total));
  RunState state{.model = setup_.model_name,
                 .seed = o.seed,
                 .batch_size = *o.batch_size,
                 .images = setup_.train->size(),
                 .train_set = set_digest(*setup_.train),
                 .validation_set = setup_.val != nullptr ? set_digest(*setup_.val) : "",
                 .class_names = setup_.train->class_names(),
                 .schedule = schedule.state()};
  state.loss_scale = sgd_.state().loss_scale;
  const bool resumed = resume(state);
  schedule.restore(state.schedule);
  Reporter report(*this, state, resumed, total, loader.samples());
  atomic_write(path(kConfigFile), o.toml);
  if (resumed) {
    report.note(fmt::format("resumed at iteration {} of {}{}", state.iteration, total,
                            state.iteration < total ? "" : ": nothing is left to be done"));
  }
  report.restart(state, loader.wait_seconds());

  const auto take_state = [&] {
    state.schedule = schedule.state();
    const StepState step = sgd_.state();
    state.loss_scale = step.loss_scale;
    state.good_steps = step.good_steps;
  };
  // Before the first step there is nothing that would be lost.
  const auto save_unfinished = [&](const char* what) {
    if (state.iteration > 0) {
      take_state();
      save(state, false);
      report.note(fmt::format("{} at iteration {} of {}; go on with --resume auto", what, state.iteration, total));
    }
  };
  // Between two steps the state is sound, whatever a loader has met with.
  const auto saved_if_it_fails = [&](auto read) {
    try {
      return read();
    } catch (const std::exception&) {
      try {
        save_unfinished("saved");
      } catch (const std::exception& another) {
        report.note(fmt::format("the state could not be saved: {}", another.what()));
      }
      throw;
    }
  };
  const ValidationTimes validations{
      .interval = std::max<int64_t>(1, std::llround(o.evaluate_every * static_cast<double>(loader.batches()))), .total = total};
  const auto validation_due = [&] {
    return val_loader_ != nullptr && state.validated != state.iteration && validations.due(state.iteration);
  };
  const auto validate_and_save = [&] {
    const std::optional<Metrics> metrics = saved_if_it_fails([&] { return validate(stop); });
    report.skipped_images(state, *val_loader_);
    if (!metrics) {
      return;
    }
    if (!std::isfinite(metrics->loss)) {
      fail_diverged("the validation loss is not finite", state);
    }
    report.validation(state, *metrics);
    schedule.observe(metrics->top1_error);
    const bool best = metrics->top1_error < state.best_error || !std::filesystem::exists(path(kBestFile));
    state.best_error = best ? metrics->top1_error : state.best_error;
    state.validated = state.iteration;
    take_state();
    save(state, best);
    report.end_validation(state, loader.wait_seconds());
  };
  if (validation_due()) {  // the run was stopped before it was done
    validate_and_save();
  }
  loader.start(state.epoch, state.batch);
  while (state.iteration < total && stop == 0) {
    const Batch* batch = saved_if_it_fails([&] { return loader.next(); });
    if (batch == nullptr) {
      ++state.epoch;
      state.batch = 0;
      loader.start(state.epoch);
      continue;
    }
    const double rate = schedule.rate(state.iteration);
    sgd_.set_learning_rate(static_cast<float>(rate));
    step_.train(*batch);
    ++state.batch;
    ++state.iteration;
    if (state.iteration == total || validation_due() || state.iteration % o.log_every == 0) {
      report.skipped_images(state, loader);
      const Metrics metrics = training_metrics(state);
      report.train(state, metrics, rate, loader.wait_seconds(), val_loader_ != nullptr ? validations.left(state.iteration) : 0);
      if (metrics.images == 0) {
        report.note(fmt::format("no image counted since the last report: {}",
                                loader.errors().count() > 0
                                    ? "none could be read"
                                    : fmt::format("every step overflowed in fp16 and was skipped; the loss scale is now {}",
                                                  sgd_.state().loss_scale)));
      }
    }
    if (validation_due()) {
      validate_and_save();
    }
  }
  if (stop != 0) {
    training_metrics(state);
    save_unfinished("stopped");
  } else if (val_loader_ == nullptr) {
    take_state();
    save(state, false);
  }
  if (loader.errors().count() > 0) {
    report.note(fmt::format("{} training images could not be read and were skipped:\n{}", loader.errors().count(),
                            loader.errors().summary()));
  }
  if (stop == 0 && val_loader_ != nullptr) {
    report.note(fmt::format("best validation error {:.2f} %, weights in {}", state.best_error, path(kBestFile)));
  }
  return static_cast<int>(stop);
}

Metrics Trainer::training_metrics(const RunState& state) {
  const Metrics metrics = step_.metrics().read();
  step_.metrics().reset();
  if (metrics.images > 0 && !std::isfinite(metrics.loss)) {
    fail_diverged("the loss is not finite", state);
  }
  return metrics;
}

double Trainer::overfit_batch(int64_t iterations) {
  Loader loader = make_train_loader();
  loader.start(0);
  const Batch* batch = loader.next();
  sgd_.set_learning_rate(static_cast<float>(*setup_.options.learning_rate));
  double loss = 0;
  for (int64_t i = 1; i <= iterations; ++i) {
    step_.train(*batch);
    const Metrics metrics = step_.metrics().read();
    step_.metrics().reset();
    loss = metrics.loss;
    if (i % setup_.options.log_every == 0 || i == iterations || i == 1) {
      fmt::print("iteration {}: loss {:.5f}, top-1 error {:.2f} % of {} images\n", i, loss, metrics.top1_error, metrics.images);
    }
    if (metrics.images > 0 && !std::isfinite(loss)) {
      fail("the loss is not finite by iteration {}: lower --lr, or use --precision fp32", i);
    }
  }
  return loss;
}

Metrics Trainer::validate() {
  const std::sig_atomic_t never = 0;
  return *validate(never);
}

std::optional<Metrics> Trainer::validate(const volatile std::sig_atomic_t& stop) {
  return evaluator_.evaluate(*val_loader_, [&stop] { return stop != 0; });
}

double Trainer::loader_speed() {
  Loader loader = make_train_loader();
  const Clock::time_point start = Clock::now();
  int64_t images = 0;
  loader.start(0);
  while (const Batch* batch = loader.next()) {
    images += batch->size();
  }
  return static_cast<double>(images) / seconds_since(start);
}

}  // namespace residua
