#include "core/train/training_checks.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/config/auto_or_number.h"
#include "core/distributed/share.h"
#include "core/train/training.h"

namespace residua {
namespace {

/// Whether the ranks can normalize a last batch of `rest` images out of `batch`: none has a single one and, if they normalize
/// together, each has some.
bool can_share_last(const TrainingOptions& o, int64_t rest, int64_t batch) {
  for (int64_t rank = 0; rest > 0 && rank < o.ranks; ++rank) {
    const Share part = share_of(batch, rank, o.ranks);
    const int64_t images = std::clamp<int64_t>(rest - part.first, 0, part.count);
    if (o.sync_bn && o.ranks > 1 ? images == 0 : images == 1) {
      return false;
    }
  }
  return true;
}

/// Fails if exact statistics of `images` training images would end with a batch, or a group, of one image.
void check_exact_images(const TrainingOptions& o, int64_t images) {
  if (o.exact_bn == 0 || o.bn_group == 1) {
    return;
  }
  const int64_t batch = std::min(exact_batch(o) * o.ranks, images);
  const int64_t rest = o.exact_bn % batch;
  if (!can_share_last(o, rest, batch) || (o.bn_group > 0 && rest % o.bn_group == 1)) {
    fail_setting("exact-bn", fmt::format("{}", o.exact_bn),
                 o.ranks > 1 ? fmt::format("a number that leaves each rank some images of the last batch, such as {}",
                                           o.exact_bn + batch - rest)
                             : fmt::format("a number that leaves no single image for the last {}, such as {}",
                                           rest == 1 ? "batch" : "group", o.exact_bn + 1));
  }
}

}  // namespace

void check_training(const RunConfig& c, int64_t images) {
  const TrainingOptions& o = c.training;
  if (o.batch_size % o.ranks != 0) {
    fail_setting("batch-size", fmt::format("{}", o.batch_size), fmt::format("a multiple of {}, the number of ranks", o.ranks));
  }
  if (o.batch_size % (o.accumulate * o.ranks) != 0) {
    fail_setting("accumulate", fmt::format("{}", o.accumulate),
                 o.ranks == 1 ? fmt::format("a number that divides the batch size {}", o.batch_size)
                              : fmt::format("a number that divides the {} images of each rank", o.batch_size / o.ranks));
  }
  if (o.sync_bn && o.bn_group > 0) {
    fail_usage("sync-bn normalizes over all images of a step, but bn-group is {}: add bn-group 0, or leave out sync-bn",
               o.bn_group);
  }
  if (o.sync_bn && o.accumulate > 1 && o.ranks > 1 && last_batch_incomplete(images, c)) {
    fail_setting("sync-bn", "true",
                 fmt::format("no accumulate beside it, because the last batch has {} of {} images: the ranks' parts of it may "
                             "need different numbers of passes",
                             images % o.batch_size, o.batch_size));
  }
  if (o.threads == kAuto && o.deterministic) {
    fail_usage("threads auto and deterministic exclude each other: results depend on the number of threads");
  }
  if (o.threads == kAuto && o.ranks > 1) {
    fail_setting("threads", "auto", "a number with several ranks, or 0: they divide the cores");
  }
  if (o.deterministic && (o.plans.nondeterministic || o.plans.runtime_compilation)) {
    fail_setting("deterministic", "true", "neither allow-nondeterministic nor allow-runtime-compilation beside it");
  }
  if (c.weights.file.empty() && c.weights.reset_classifier) {
    fail_setting("reset-classifier", "true", "weights too, from which all but the classifier comes");
  }
  if (c.weights.file.empty() && !c.weights.freeze_until.empty()) {
    fail_setting("freeze-until", c.weights.freeze_until, "weights too: only trained weights are worth keeping as they are");
  }
  if (!c.output.trace.empty() && parse_device(o.device).type != Device::Type::cpu) {
    fail_setting("trace", c.output.trace, "the CPU device; on a GPU, use nsys profile");
  }
  check_exact_images(o, images);
}

}  // namespace residua
