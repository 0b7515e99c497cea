// When and how a run evaluates its network.
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <optional>
#include <vector>

#include "core/data/rank_images.h"
#include "core/evaluate/all_ranks.h"
#include "core/evaluate/exact_statistics.h"
#include "core/train/trainer.h"

namespace residua {

bool Trainer::validation_due() const {
  return data_.validation != nullptr && state_.validated != state_.iteration && validations_.due(state_.iteration);
}

std::optional<Trainer::Evaluation> Trainer::evaluate(const EvaluationPart& part, const volatile std::sig_atomic_t& stop,
                                                     Evaluator::Observers observers) {
  const auto start = std::chrono::steady_clock::now();
  const std::optional<Metrics> metrics = saved_if_it_fails([&] {
    return evaluator_.evaluate(
        part.loader.get(), [&stop] { return stop != 0; }, observers);
  });
  report_skipped_images(*part.errors);
  if (!metrics) {
    return {};
  }
  return Evaluation{.metrics = *metrics,
                    .seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()};
}

bool Trainer::make_statistics_exact(const volatile std::sig_atomic_t& stop) {
  const int64_t images = config_.training.exact_bn;
  if (images == 0 || state_.iteration < length_.total_iterations || state_.exact_bn == images) {
    return true;
  }
  const Network& network = training_.network();
  const bool done = saved_if_it_fails([&] {
    const std::unique_ptr<Loader> loader =
        exact_statistics_loader(data_.train, config_, network.input, training_.device(), ranks_);
    const bool complete = compute_exact_statistics(
        *network.module, training_.store(), input_format(network, training_.precision(), training_.device()), *loader, images,
        [&stop] { return stop != 0; }, &ranks_);
    merge_errors(ranks_, loader->errors());  // which fails if all ranks together have too many
    return complete;
  });
  if (done) {
    state_.exact_bn = images;
    report_->note(fmt::format("batch-norm statistics computed over {} training images", images));
  }
  return done;
}

void Trainer::validate_and_save(const volatile std::sig_atomic_t& stop) {
  if (!make_statistics_exact(stop)) {
    return;
  }
  const bool last = state_.iteration == length_.total_iterations;
  ImageResults results;
  std::vector<EvaluationObserver*> observers;
  if (last) {
    observers.push_back(&results);
  }
  const bool has_clean = config_.output.clean_train > 0;
  const std::optional<Evaluation> validation = evaluate(validation_part_, stop, observers);
  const std::optional<Evaluation> clean = validation && has_clean ? evaluate(clean_part_, stop) : std::nullopt;
  if (!validation || (has_clean && !clean)) {
    return;
  }
  const Metrics& metrics = validation->metrics;
  if (!std::isfinite(metrics.loss)) {
    saver_.fail_diverged("the validation loss is not finite", state_);
  }
  save_first();
  if (last) {
    const std::vector<ImageResult> all = results_of_all(ranks_, data_.validation->size(), results.all());
    if (folder_.writes()) {
      saved_if_it_fails([&] { write_evaluation(folder_, evaluated(), all); });
    }
  }
  if (clean) {
    report_->evaluation(state_, "clean_train", clean->metrics, clean->seconds);
  }
  report_->evaluation(state_, "validation", metrics, validation->seconds);
  schedule_->observe(metrics.top1_error);
  const bool best = metrics.top1_error < state_.best_error || !saver_.has_best();
  state_.best_error = best ? metrics.top1_error : state_.best_error;
  state_.validated = state_.iteration;
  save(best ? Save::best : Save::last);
  report_->end_validation(state_, loader_->wait_seconds());
}

Evaluated Trainer::evaluated() const {
  return {.network = training_.network(),
          .config = config_,
          .weights = kLastFile,
          .iteration = state_.iteration,
          .set = "validation",
          .images = data_.validation,
          .device = training_.device(),
          .precision = training_.precision()};
}

void Trainer::test(const volatile std::sig_atomic_t& stop) {
  if (data_.test == nullptr || state_.tested == state_.iteration) {
    return;
  }
  if (const std::optional<Evaluation> found = evaluate(test_part_, stop)) {
    report_->evaluation(state_, "test", found->metrics, found->seconds);
    state_.tested = state_.iteration;
    save(Save::last);
  }
}

}  // namespace residua
