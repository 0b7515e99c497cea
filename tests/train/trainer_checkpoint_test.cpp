// What a checkpoint holds after a cut at each kind of moment, against the undisturbed run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <csignal>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "core/nn/state_dict.h"
#include "tests/support/compare.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/small_run.h"

namespace residua::test {
namespace {

enum class When { after_the_step, within_the_validation, after_the_validation };

struct Cut {
  int64_t iteration;
  When when;
};

/// The bytes of all arrays of a checkpoint, by name.
using Arrays = std::map<std::string, std::vector<std::byte>>;

Arrays arrays_of(const ParameterStore& store) {
  const StateSnapshot now = snapshot(store);
  Arrays arrays;
  for (const HostArrayView& array : checkpoint_arrays(now)) {
    arrays[array.name].assign(array.bytes.begin(), array.bytes.end());
  }
  return arrays;
}

Arrays arrays_of(const Checkpoint& checkpoint) {
  Arrays arrays;
  for (const HostArray& array : checkpoint.arrays) {
    if (!array.name.starts_with(kInputPrefix)) {
      arrays[array.name] = array.bytes;
    }
  }
  return arrays;
}

/// Runs of one kind: an undisturbed one, with its arrays after each step, and others that are cut.
class CutRuns {
 public:
  using Prepare = std::function<void(SmallRun&)>;
  explicit CutRuns(Prepare prepare) : prepare_(std::move(prepare)) {
    SmallRun run(whole_.path());
    prepare_(run);
    run.observer.on_trained = [&](const TrainRecord& record) { arrays_[record.iteration] = arrays_of(run.trainer().store()); };
    EXPECT_EQ(run.train(), 0);
    errors_ = logged(whole_.path(), "validation", "top1_error");
    validated_ = logged(whole_.path(), "validation", "iteration");
    rates_ = logged(whole_.path(), "train", "lr");
    losses_ = logged(whole_.path(), "train", "loss");
  }

  const std::vector<double>& rates() const { return rates_; }
  const std::vector<double>& losses() const { return losses_; }

  void expect_sound(const Cut& cut) {
    SCOPED_TRACE(fmt::format("cut at {}, moment {}", cut.iteration, static_cast<int>(cut.when)));
    const TemporaryFolder folder;
    stop_at(cut, folder.path());
    const Checkpoint saved = load_checkpoint(newest_checkpoint(folder.path()));
    expect_state(run_state(saved), cut);
    EXPECT_TRUE(arrays_of(saved) == arrays_.at(cut.iteration));
    SmallRun rest(folder.path());
    prepare_(rest);
    ASSERT_EQ(rest.resume(newest_checkpoint(folder.path())).train(), 0);
    const std::string newest = std::filesystem::path(newest_checkpoint(whole_.path())).filename();
    for (const std::string& file : {newest, std::string(kLastFile), std::string(kBestFile), std::string(kEvaluationFile)}) {
      EXPECT_TRUE(read_bytes(folder / file) == read_bytes(whole_ / file)) << file;
    }
    EXPECT_EQ(timeless_log_of(folder.path(), "validation"), timeless_log_of(whole_.path(), "validation"));
    EXPECT_EQ(logged(folder.path(), "train", "lr"), rates_);
  }

 private:
  void stop_at(const Cut& cut, const std::string& folder) const {
    volatile std::sig_atomic_t stop = 0;
    SmallRun run(folder);
    prepare_(run);
    bool reached = false;
    run.observer.on_trained = [&](const TrainRecord& record) {
      reached = record.iteration == cut.iteration;
      stop = reached && cut.when == When::after_the_step ? SIGTERM : 0;
    };
    run.observer.on_evaluated = [&](const EvaluationRecord&) {
      stop = reached && cut.when == When::after_the_validation ? SIGTERM : 0;
    };
    run.validation = std::make_shared<WatchedSource>(run.validation, [&](int64_t, int64_t image) {
      if (reached && cut.when == When::within_the_validation && image == 40) {
        stop = SIGTERM;
      }
    });
    ASSERT_EQ(run.train(stop), SIGTERM);
  }

  /// The state that the log of the undisturbed run tells.
  void expect_state(const RunState& state, const Cut& cut) const {
    EXPECT_EQ(state.iteration, cut.iteration);
    EXPECT_EQ(4 * state.epoch + state.batch, cut.iteration) << "epochs of 4 batches";
    double least = 100;
    double plateau_least = std::numeric_limits<double>::infinity();
    double bad = 0;
    double falls = 0;
    int64_t last = 0;
    for (size_t i = 0; i < errors_.size(); ++i) {
      const auto at = static_cast<int64_t>(validated_[i]);
      if (at > cut.iteration || (at == cut.iteration && cut.when != When::after_the_validation)) {
        break;
      }
      last = at;
      least = std::min(least, errors_[i]);
      if (errors_[i] < 0.9999 * plateau_least) {
        plateau_least = errors_[i];
        bad = 0;
      } else if (++bad > 1) {
        ++falls;
        bad = 0;
      }
    }
    EXPECT_EQ(state.validated, last);
    EXPECT_EQ(state.best_error, least);
    EXPECT_EQ(state.schedule.name, "plateau");
    EXPECT_THAT(state.schedule.numbers, testing::ElementsAre(plateau_least, bad, falls));
    expect_scale(state, cut);
  }

  /// A step whose loss is NaN overflowed: it halved the scale and counts for nothing else.
  void expect_scale(const RunState& state, const Cut& cut) const {
    const bool scaled = std::isnan(losses_[0]);
    double scale = scaled ? 65536 : 1;
    int64_t good = 0;
    int64_t all = 0;
    for (size_t i = 0; i < static_cast<size_t>(cut.iteration); ++i) {
      const bool overflow = std::isnan(losses_[i]);
      scale *= overflow ? 0.5 : 1;
      good = overflow ? 0 : good + 1;
      all += overflow ? 0 : 1;
    }
    EXPECT_EQ(state.loss_scale, scale);
    if (scaled) {
      EXPECT_EQ(state.good_steps, good);
    }
    EXPECT_EQ(state.batches_tracked, all);
  }

  Prepare prepare_;
  TemporaryFolder whole_;
  std::map<int64_t, Arrays> arrays_;
  std::vector<double> errors_;
  std::vector<double> validated_;
  std::vector<double> rates_;
  std::vector<double> losses_;
};

void set_plateau(SmallRun& run) {
  run.set("lr-schedule", {"plateau"}).set("lr-patience", {"1"}).set("lr-factor", {"0.5"}).set("lr", {"0.2"});
  run.set("iterations", {"16"}).set("evaluate-every", {"0.5"}).set("log-every", {"1"});
}

TEST(TrainerCheckpoint, ACutAtEachKindOfMomentLosesNothing) {
  CutRuns runs(set_plateau);
  const auto fallen = std::ranges::find_if(runs.rates(), [](double rate) { return rate < 0.2; });
  ASSERT_NE(fallen, runs.rates().end()) << "no plateau to be restored";
  const auto first_lower = static_cast<int64_t>(fallen - runs.rates().begin()) + 1;
  ASSERT_LT(first_lower, 15);
  runs.expect_sound({3, When::after_the_step});  // between two validations
  runs.expect_sound({4, When::after_the_step});  // a validation is due, at the end of an epoch
  runs.expect_sound({6, When::within_the_validation});
  runs.expect_sound({6, When::after_the_validation});
  runs.expect_sound({first_lower, When::after_the_step});
  runs.expect_sound({first_lower + 1, When::after_the_validation});
}

TEST(TrainerCheckpoint, ACutAfterAnOverflowInFp16LosesNothing) {
  const TemporaryFolder folder;
  const std::string weights = folder / "large.safetensors";
  {
    // A classifier so large that the first steps' gradients overflow, and the later ones' do not.
    SmallRun run(folder / "unused");
    ParameterStore& store = run.trainer().store();
    const Tensor& classifier = store.parameter("fc.weight").master;
    for (float& weight : classifier.span<float>()) {
      weight *= 300;
    }
    save_weights(weights, snapshot(store), network_metadata(run.network()));
  }
  CutRuns runs([&](SmallRun& run) {
    set_plateau(run);
    run.set("precision", {"fp16"}).set("weights", {weights}).set("lr", {"1e-4"}).set("iterations", {"12"});
  });
  const std::vector<double>& losses = runs.losses();
  const auto overflows = std::ranges::count_if(losses, [](double loss) { return std::isnan(loss); });
  ASSERT_TRUE(std::isnan(losses[0])) << testing::PrintToString(losses);
  ASSERT_LE(overflows, 6) << testing::PrintToString(losses);
  runs.expect_sound({overflows, When::after_the_step});
  runs.expect_sound({overflows + 1, When::after_the_step});
  runs.expect_sound({8, When::after_the_validation});
}

TEST(TrainerCheckpoint, ALossScaleThatHasFallenToOneGoesOn) {
  const TemporaryFolder folder;
  const auto run = [&](const char* iterations, const std::string& checkpoint) {
    SmallRun small(folder.path());
    small.set("precision", {"fp16"}).set("iterations", {iterations}).resume(checkpoint);
    ASSERT_EQ(small.train(), 0);
  };
  run("2", "");
  Checkpoint edited = load_checkpoint(newest_checkpoint(folder.path()));
  edited.state["loss_scale"] = 1;
  save_checkpoint(folder / "edited.safetensors", edited.state, views(edited.arrays), edited.metadata);
  run("3", folder / "edited.safetensors");
  EXPECT_EQ(run_state(load_checkpoint(newest_checkpoint(folder.path()))).loss_scale, 1);
}

}  // namespace
}  // namespace residua::test
