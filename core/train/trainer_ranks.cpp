// How the ranks of a run stay together.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <numeric>

#include "core/base/join.h"
#include "core/data/digest.h"
#include "core/data/rank_images.h"
#include "core/distributed/agreement.h"
#include "core/train/trainer.h"

namespace residua {
namespace {

using Json = nlohmann::json;

std::string text_of(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

/// A digest of the names and shapes of all parameters.
std::string digest_of_shapes(const ParameterStore& store) {
  std::string all;
  for (const Parameter* parameter : store.parameters()) {
    all += fmt::format("{} {};", parameter->name, parameter->shape.string());
  }
  return text_digest(all);
}

}  // namespace

void Trainer::share_first_state() {
  if (ranks_.alone()) {
    return;
  }
  check_agreement(ranks_, "the run",
                  {{"model", state_.model},
                   {"parameters", digest_of_shapes(training_.store())},
                   {"training images", state_.train_set},
                   {"validation images", state_.validation_set},
                   {"classes", join(state_.class_names, ", ")},
                   {"iteration", std::to_string(state_.iteration)},
                   {"precision", state_.machine.precision},
                   {"batches of an epoch", std::to_string(loader_->batches())}});
  ParameterStore& store = training_.store();
  for (const ParameterArena* arena : {&store.matrices(), &store.vectors()}) {
    if (arena->size > 0) {
      ranks_.broadcast(arena->master);
      ranks_.broadcast(arena->velocity);
    }
  }
  if (store.statistics_arena().channels > 0) {
    ranks_.broadcast(store.statistics_arena().running_mean);
    ranks_.broadcast(store.statistics_arena().running_variance);
  }
  ranks_.finish();
  store.masters_changed();
}

void Trainer::resume(const std::string& checkpoint) {
  saver_.resume(checkpoint, state_);
  told_ = state_.unreported;
  if (!ranks_.leads()) {
    training_.step().metrics().reset();  // rank 0 has the totals of all
  }
}

void Trainer::agree(const volatile std::sig_atomic_t& stop) {
  const bool asked = save_request_ != nullptr && *save_request_ != 0;
  const bool due = folder_.writes() && checkpoints_.due(state_.iteration);
  wishes_ = {.stop = static_cast<int>(stop), .save = asked || due};
  if (ranks_.alone()) {
    return;
  }
  bool bad_images = false;
  for (const std::string& text : ranks_.gather(text_of({wishes_.stop, wishes_.save, loader_->errors().has_new()}))) {
    const Json wishes = Json::parse(text);
    wishes_.stop = std::max(wishes_.stop, wishes[0].get<int>());
    wishes_.save = wishes_.save || wishes[1].get<bool>();
    bad_images = bad_images || wishes[2].get<bool>();
  }
  if (bad_images) {
    report_skipped_images(loader_->errors());
  }
}

std::string Trainer::of_all_ranks(const std::string& finding) {
  if (ranks_.alone()) {
    return finding;
  }
  std::vector<std::string> findings;
  for (const std::string& text : ranks_.gather(finding)) {
    findings.push_back(fmt::format("rank {}: {}", findings.size(), text));
  }
  return join(findings, "; ");
}

void Trainer::report_skipped_images(DataErrors& errors) { report_->skipped_images(state_, merge_errors(ranks_, errors)); }

void Trainer::report_replaced_images() {
  const DataErrors& errors = loader_->errors();  // those of all ranks are merged
  if (errors.count() > 0) {
    report_->note(
        fmt::format("{} training images could not be read and were replaced by others:\n{}", errors.count(), errors.summary()));
  }
}

}  // namespace residua
