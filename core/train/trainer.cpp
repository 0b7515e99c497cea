#include "core/train/trainer.h"

#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>
#include <vector>

#include "core/config/auto_or_number.h"
#include "core/data/digest.h"
#include "core/evaluate/all_ranks.h"
#include "core/train/fitting_batch.h"
#include "core/train/run_setup.h"

namespace residua {
namespace {

/// The number of compute threads that the results of a deterministic run depend on; 0 if they depend on none.
int64_t fixed_threads(const TrainerSetup& s) {
  return s.config.training.deterministic && s.device.type == Device::Type::cpu ? omp_get_max_threads() : 0;
}

RunState first_state(const TrainerSetup& s, const Training& training) {
  return {.model = training.network().description(),
          .seed = s.config.training.seed,
          .batch_size = s.config.training.batch_size,
          .images = s.data.train->size(),
          .train_set = set_digest(*s.data.train),
          .validation_set = s.data.validation != nullptr ? set_digest(*s.data.validation) : std::string(),
          .class_names = s.data.train->class_names(),
          .fixed_threads = fixed_threads(s),
          .machine = this_machine(s.device, s.precision, s.config.training.ranks)};
}

ValidationTimes validation_times(const RunConfig& config, const RunLength& length) {
  const double interval = config.output.evaluate_every * static_cast<double>(length.iterations_per_epoch);
  return {.interval = std::max<int64_t>(1, std::llround(interval)), .total = length.total_iterations};
}

std::string trained_part(const std::string& frozen_until, const ParameterStore& store) {
  int64_t trained = 0;
  int64_t all = 0;
  for (const Parameter* parameter : store.parameters()) {
    all += parameter->logical.size();
    trained += parameter->frozen ? 0 : parameter->logical.size();
  }
  return fmt::format("frozen until {}: {} of {} parameters are trained", frozen_until, trained, all);
}

EvaluationPart part_of(const std::shared_ptr<const ImageSource>& images, const TrainerSetup& s, const Communicator& ranks,
                       Training& training) {
  return with_advice([&] { return evaluation_part(images, s.config, s.network.input.size, s.device, ranks); },
                     [&] { return fitting_batch(training, s.config); });
}

}  // namespace

Trainer::Trainer(const TrainerSetup& s)
    : config_(s.config),
      ranks_(s.ranks != nullptr ? *s.ranks : alone_),
      data_(s.data),
      folder_(s.folder),
      observer_(s.observer),
      training_(s.network, s.config, s.device, s.precision, &ranks_),
      evaluator_(*s.network.module, input_format(s.network, s.precision, s.device), s.device, &ranks_),
      loader_(with_advice([&] { return training_loader(s.data.train, s.config, s.network.input, s.device, ranks_); },
                          [&] { return fitting_batch(training_, s.config); })),
      validation_part_(part_of(s.data.validation, s, ranks_, training_)),
      clean_part_(part_of(clean_images(s.data.train, s.config.output.clean_train), s, ranks_, training_)),
      test_part_(part_of(s.data.test, s, ranks_, training_)),
      length_(run_length(s.config.training, loader_->batches())),
      validations_(validation_times(s.config, length_)),
      schedule_(make_schedule(s.config.schedule, length_, s.config.training.batch_size)),
      saver_(s.folder, training_, *schedule_, s.config.output.keep_checkpoints, &ranks_),
      trace_(s.config.output.trace, ranks_),
      auto_threads_(s.config.training.threads == kAuto && s.device.type == Device::Type::cpu
                        ? std::optional<AutoThreads>(omp_get_max_threads())
                        : std::nullopt),
      checkpoints_(s.config.output.checkpoint_every),
      save_request_(s.save_request),
      state_(first_state(s, training_)) {
  const bool resumed = !s.checkpoint.empty();
  const Machine machine = state_.machine;
  if (resumed) {
    resume(s.checkpoint);
  } else {
    load_first_weights(s.config, s.network, training_.store());
  }
  report_ = make_reporter(resumed);
  share_first_state();
  if (!s.config.weights.freeze_until.empty()) {
    report_->note(trained_part(s.config.weights.freeze_until, training_.store()));
  }
  if (resumed) {
    report_->note(fmt::format("resumed at iteration {} of {}{}", state_.iteration, length_.total_iterations,
                              state_.iteration < length_.total_iterations ? "" : ": nothing left to do"));
    report_changes(machine, s.changes);
  }
}

int Trainer::train_to_end(const volatile std::sig_atomic_t& stop) {
  agree(stop);
  report_->restart(state_, loader_->wait_seconds());
  const int64_t exact = config_.training.exact_bn;
  const bool inexact = state_.iteration >= length_.total_iterations && exact > 0 && state_.exact_bn != exact;
  // The run was stopped before this validation, or it was complete and now gets exact statistics.
  if (validation_due() || (data_.validation != nullptr && inexact)) {
    validate_and_save(stop);
    agree(stop);
  }
  while (state_.iteration < length_.total_iterations && wishes_.stop == 0) {
    train_epoch(stop);
  }
  if (wishes_.stop == 0 && data_.validation == nullptr && make_statistics_exact(stop)) {
    save_first();
    save(Save::last);
  }
  agree(stop);
  if (wishes_.stop != 0) {
    save_unfinished("stopped");
  } else {
    test(stop);
  }
  trace_.finish();
  finish_saving();
  report_replaced_images();
  agree(stop);
  if (wishes_.stop == 0 && data_.validation != nullptr) {
    report_->note(fmt::format("best validation error {:.2f} %, weights in {}", state_.best_error, saver_.best_path()));
  }
  return wishes_.stop;
}

void Trainer::train_epoch(const volatile std::sig_atomic_t& stop) {
  loader_->start(state_.epoch, state_.batch);
  while (state_.iteration < length_.total_iterations && wishes_.stop == 0) {
    const Batch* batch = saved_if_it_fails([&] { return loader_->next(); });
    if (batch == nullptr) {
      ++state_.epoch;
      state_.batch = 0;
      return;
    }
    train_batch(*batch);
    if (validation_due()) {
      validate_and_save(stop);
    }
    agree(stop);
    save_if_due();
  }
}

void Trainer::train_batch(const Batch& batch) {
  const double rate = schedule_->rate(state_.iteration);
  training_.scaler().set_learning_rate(static_cast<float>(rate));
  trace_.before_step();
  {
    const profile::Span span("step", fmt::format("{}", state_.iteration + 1));
    const auto start = std::chrono::steady_clock::now();
    training_.step().train(batch);
    adapt_threads(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  state_.exact_bn = 0;
  report_->count(batch.whole);
  ++state_.batch;
  ++state_.iteration;
  if (state_.iteration == length_.total_iterations || validation_due() || state_.iteration % config_.output.log_every == 0) {
    report_steps(rate);
  } else if (const int64_t window = schedule_->training_window(); window > 0 && state_.iteration % window == 0) {
    unreported();
  }
}

void Trainer::adapt_threads(double seconds) {
  if (!auto_threads_) {
    return;
  }
  if (const std::optional<AutoThreads::Change> change = auto_threads_->after_step(seconds)) {
    report_->note(fmt::format("threads: {} from iteration {} on: a step takes {:.1f} ms, with {} it took {:.1f} ms", change->to,
                              state_.iteration + 2, 1e3 * change->seconds, change->from, 1e3 * change->seconds_before));
  }
  omp_set_num_threads(static_cast<int>(auto_threads_->threads()));
}

void Trainer::report_steps(double rate) {
  report_skipped_images(loader_->errors());
  const Metrics metrics = unreported();
  training_.step().metrics().reset();
  told_ = {};
  report_->train(state_, metrics, rate, loader_->wait_seconds(),
                 data_.validation != nullptr ? validations_.left(state_.iteration) : 0);
  if (const StepState step = training_.step().state(); step.skipped_steps > state_.reported_skips) {
    report_->skipped_steps(state_, step, training_.scaler().scaling().has_value());
    state_.reported_skips = step.skipped_steps;
  }
}

Metrics Trainer::unreported() {
  const MetricsTotals totals = totals_of_all(ranks_, training_.step().metrics().totals());
  schedule_->observe_training(state_.iteration, totals.top1_errors - told_.top1_errors, totals.images - told_.images);
  told_ = totals;
  saver_.check(training_.step().state(), state_);
  return means(totals);
}

}  // namespace residua
