#include "core/train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <utility>

#include "core/data/digest.h"
#include "core/data/source.h"
#include "models/catalog.h"
#include "tests/data/synthetic_source.h"
#include "tests/support/compare.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

const std::sig_atomic_t kNeverStop = 0;

/// A small run on synthetic shapes.
struct SmallRun {
  explicit SmallRun(const std::string& folder, DType precision = DType::f32)
      : spec(model_spec("resnet20")), model([this, precision] {
          spec.classes = 4;
          spec.width = 8;
          spec.stored_in_channels = stored_input_channels(precision);
          return spec;
        }()) {
    setup.model = &model;
    setup.model_name = "test";
    setup.input_channels = model.input_channels();
    setup.precision = precision;
    setup.train = open_synthetic(Split::train, {.image_size = 16, .classes = 4, .images = 128, .seed = 1});
    setup.val = open_synthetic(Split::val, {.image_size = 16, .classes = 4, .images = 5 * 128, .seed = 1});
    setup.classifier = "fc.";
    setup.statistics = {.mean = compute_pixel_mean(*setup.train, 100),
                        .std = compute_channel_statistics(*setup.train, 100).std};
    setup.options.output = folder;
    setup.options.batch_size = 32;
    setup.options.crop_size = 16;
    setup.options.augment = "flip";
    setup.options.iterations = 6;
    setup.options.learning_rate = 0.05;
    setup.options.workers = 1;
    setup.options.evaluate_every = 0.75;
    setup.options.log_every = 2;
  }

  ResNetSpec spec;
  ResNet model;
  TrainerSetup setup;
};

/// A source that calls `on_read` with the number of reads so far before each.
class WatchedSource final : public ImageSource {
 public:
  WatchedSource(std::shared_ptr<const ImageSource> source, std::function<void(int64_t reads)> on_read)
      : source_(std::move(source)), on_read_(std::move(on_read)) {}
  int64_t size() const override { return source_->size(); }
  const std::vector<std::string>& class_names() const override { return source_->class_names(); }
  int32_t label(int64_t i) const override { return source_->label(i); }
  std::string name(int64_t i) const override { return source_->name(i); }
  std::optional<ImageSize> fixed_size() const override { return source_->fixed_size(); }
  void read(int64_t i, EncodedImage& out) const override {
    on_read_(reads_++);
    source_->read(i, out);
  }

 private:
  const std::shared_ptr<const ImageSource> source_;
  const std::function<void(int64_t)> on_read_;
  mutable std::atomic<int64_t> reads_ = 0;
};

/// Images that can be read `readable` times, and then, for some reads, no more.
std::shared_ptr<const ImageSource> failing_after(int64_t readable, std::shared_ptr<const ImageSource> source,
                                                 int64_t failures = INT64_MAX) {
  return std::make_shared<WatchedSource>(std::move(source), [readable, failures](int64_t reads) {
    if (reads >= readable && reads - readable < failures) {
      fail("read {} went wrong", reads);
    }
  });
}

std::vector<nlohmann::json> log_of(const std::string& folder, const std::string& type) {
  std::vector<nlohmann::json> found;
  std::istringstream lines(test::read_bytes(folder + "/log.jsonl"));
  for (std::string line; std::getline(lines, line);) {
    const nlohmann::json record = nlohmann::json::parse(line);
    if (record.at("type") == type) {
      found.push_back(record);
    }
  }
  return found;
}

TEST(Trainer, AnInterruptedRunEndsWithTheSameWeights) {
  const test::TemporaryFolder whole;
  const test::TemporaryFolder parts;
  SmallRun reference(whole.path());
  Trainer reference_trainer(reference.setup);
  ASSERT_EQ(reference_trainer.train(kNeverStop), 0);

  {
    SmallRun first(parts.path());
    first.setup.options.iterations = 3;
    // The schedule must be the whole run's.
    first.setup.options.schedule_steps = {3, 4};
    Trainer trainer(first.setup);
    ASSERT_EQ(trainer.train(kNeverStop), 0);
  }
  SmallRun second(parts.path());
  second.setup.options.resume = "auto";
  Trainer trainer(second.setup);
  ASSERT_EQ(trainer.train(kNeverStop), 0);
  for (const Parameter* p : trainer.store().parameters()) {
    EXPECT_EQ(p->master.to_vector(), reference_trainer.store().parameter(p->name).master.to_vector()) << p->name;
  }
}

TEST(Trainer, ASignalSavesTheStateAndIsReturned) {
  const test::TemporaryFolder folder;
  const auto stopped_by_read = [&](int64_t read) {
    SmallRun run(folder.path());
    run.setup.options.workers = 0;
    volatile std::sig_atomic_t stop = 0;
    run.setup.train =
        std::make_shared<WatchedSource>(run.setup.train, [&](int64_t reads) { stop = reads >= read ? SIGTERM : 0; });
    const int signal = Trainer(run.setup).train(stop);
    const bool saved = std::filesystem::exists(folder.path() + "/checkpoint.safetensors");
    return std::pair(signal, saved);
  };
  EXPECT_EQ(stopped_by_read(40), std::pair(SIGTERM, true));
  std::filesystem::remove(folder.path() + "/checkpoint.safetensors");
  // In time for the first step, which is done all the same; before that there is nothing to save.
  EXPECT_EQ(stopped_by_read(0), std::pair(SIGTERM, true));
  std::filesystem::remove(folder.path() + "/checkpoint.safetensors");
  SmallRun run(folder.path());
  const std::sig_atomic_t stop = SIGTERM;
  EXPECT_EQ(Trainer(run.setup).train(stop), SIGTERM);
  EXPECT_FALSE(std::filesystem::exists(folder.path() + "/checkpoint.safetensors"));
}

TEST(Trainer, AValidationThatASignalCutShortIsDoneWhenTheRunGoesOn) {
  const test::TemporaryFolder whole;
  const test::TemporaryFolder parts;
  const auto start = [](const test::TemporaryFolder& folder) {
    auto run = std::make_unique<SmallRun>(folder.path());
    run->setup.options.workers = 0;  // so that the signal comes where it is meant to
    run->setup.options.schedule = "plateau";
    return run;
  };
  const auto reference = start(whole);
  ASSERT_EQ(Trainer(reference->setup).train(kNeverStop), 0);

  volatile std::sig_atomic_t stop = 0;
  const auto first = start(parts);
  first->setup.val =
      std::make_shared<WatchedSource>(first->setup.val, [&stop](int64_t reads) { stop = reads > 2 ? SIGTERM : 0; });
  EXPECT_EQ(Trainer(first->setup).train(stop), SIGTERM);
  EXPECT_EQ(log_of(parts.path(), "validation").size(), 0U);
  const auto second = start(parts);
  second->setup.options.resume = "auto";
  ASSERT_EQ(Trainer(second->setup).train(kNeverStop), 0);
  EXPECT_EQ(log_of(parts.path(), "validation"), log_of(whole.path(), "validation"));
  EXPECT_TRUE(test::read_bytes(parts.path() + "/checkpoint.safetensors") ==
              test::read_bytes(whole.path() + "/checkpoint.safetensors"));
}

TEST(Trainer, ResumeRefusesAnotherModelSeedOrBatchSize) {
  const test::TemporaryFolder folder;
  {
    SmallRun run(folder.path());
    run.setup.options.iterations = 1;
    Trainer(run.setup).train(kNeverStop);
  }
  const auto resume = [&](auto change) {
    SmallRun run(folder.path());
    run.setup.options.resume = folder.path() + "/checkpoint.safetensors";
    change(run.setup);
    Trainer(run.setup).train(kNeverStop);
  };
  EXPECT_THROW(resume([](TrainerSetup& s) { s.model_name = "other"; }), UsageError);
  EXPECT_THROW(resume([](TrainerSetup& s) { s.options.seed = 5; }), UsageError);
  EXPECT_THROW(resume([](TrainerSetup& s) { s.options.batch_size = 16; }), UsageError);
  EXPECT_THROW(resume([&](TrainerSetup& s) { s.options.resume = folder.path() + "/last.safetensors"; }), UsageError);
  EXPECT_NO_THROW(resume([](TrainerSetup&) {}));
}

/// A source under other class names.
class RenamedSource final : public ImageSource {
 public:
  RenamedSource(std::shared_ptr<const ImageSource> source, std::vector<std::string> class_names)
      : source_(std::move(source)), class_names_(std::move(class_names)) {}
  int64_t size() const override { return source_->size(); }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  int32_t label(int64_t i) const override { return source_->label(i); }
  std::string name(int64_t i) const override { return source_->name(i); }
  std::optional<ImageSize> fixed_size() const override { return source_->fixed_size(); }
  void load(int64_t i, const RegionChooser& choose, Image& out) const override { source_->load(i, choose, out); }

 private:
  const std::shared_ptr<const ImageSource> source_;
  const std::vector<std::string> class_names_;
};

TEST(Trainer, ResumeAndWeightsRefuseOtherClassNames) {
  const test::TemporaryFolder folder;
  std::vector<std::string> names;
  {
    SmallRun run(folder.path());
    run.setup.options.iterations = 1;
    names = run.setup.train->class_names();
    run.setup.metadata = {{"classes", nlohmann::json(names).dump()}};
    Trainer(run.setup).train(kNeverStop);
  }
  ASSERT_EQ(names.size(), 4U);
  const auto begin = [&](const std::string& resume, const std::string& weights) {
    const test::TemporaryFolder other;
    SmallRun run(resume.empty() ? other.path() : folder.path());
    run.setup.options.resume = resume;
    run.setup.options.weights = weights;
    run.setup.train = std::make_shared<RenamedSource>(run.setup.train, names);
    Trainer(run.setup).train(kNeverStop);
  };
  const std::string before = names[2];
  names[2] = "renamed";
  const std::string differ = fmt::format("class 2 was {:?} and is \"renamed\"", before);
  EXPECT_TRUE(test::fails_with([&] { begin("auto", ""); }, {"checkpoint.safetensors", differ}));
  EXPECT_TRUE(test::fails_with([&] { begin("", folder / "last.safetensors"); }, {"last.safetensors", differ}));
  names[2] = before;
  EXPECT_NO_THROW(begin("auto", ""));
  EXPECT_NO_THROW(begin("", folder / "last.safetensors"));
}

TEST(Trainer, WhatIsSavedIsWhatTheNetworkHolds) {
  const test::TemporaryFolder folder;
  SmallRun run(folder.path());
  run.setup.options.iterations = 3;
  Trainer trainer(run.setup);
  ASSERT_EQ(trainer.train(kNeverStop), 0);
  const StateSnapshot now = snapshot(trainer.store());
  EXPECT_EQ(now.batches_tracked, 3);
  const Safetensors last = load_safetensors(folder / "last.safetensors");
  for (const HostArrayView& array : weight_arrays(now)) {
    ASSERT_NE(last.find(array.name), nullptr) << array.name;
    EXPECT_TRUE(std::ranges::equal(last.find(array.name)->bytes, array.bytes)) << array.name;
  }
  const Checkpoint checkpoint = load_checkpoint(folder / "checkpoint.safetensors");
  const std::vector<HostArrayView> wanted = checkpoint_arrays(now);
  EXPECT_EQ(checkpoint.arrays.size(), wanted.size());
  for (const HostArrayView& array : wanted) {
    const auto found = std::ranges::find(checkpoint.arrays, array.name, &HostArray::name);
    ASSERT_NE(found, checkpoint.arrays.end()) << array.name;
    EXPECT_TRUE(std::ranges::equal(found->bytes, array.bytes)) << array.name;
  }
  const RunState state = run_state(checkpoint);
  EXPECT_EQ(state.iteration, 3);
  EXPECT_EQ(state.train_set, set_digest(*run.setup.train));
  EXPECT_EQ(state.validation_set, set_digest(*run.setup.val));
  EXPECT_EQ(state.class_names, run.setup.train->class_names());
}

TEST(Trainer, OneBatchIsLearnedByHeartInEveryPrecision) {
  for (const DType precision : {DType::f32, DType::bf16, DType::f16}) {
    const test::TemporaryFolder folder;
    SmallRun run(folder.path(), precision);
    Trainer trainer(run.setup);
    const double loss = trainer.overfit_batch(40);
    EXPECT_FALSE(std::isnan(loss)) << name(precision);
    EXPECT_LT(loss, 0.3) << name(precision);
  }
}

TEST(Trainer, ANanLossEndsTheRunWithAdvice) {
  const test::TemporaryFolder folder;
  SmallRun run(folder.path());
  run.setup.options.learning_rate = 1e30;
  Trainer trainer(run.setup);
  EXPECT_TRUE(
      test::fails_with([&] { trainer.train(kNeverStop); }, {"loss is not finite", "--lr", "no state had been saved yet"}));
  EXPECT_FALSE(std::filesystem::exists(folder.path() + "/checkpoint.safetensors"));
  EXPECT_TRUE(test::fails_with([&] { trainer.overfit_batch(9); }, {"not finite", "--lr"}));
}

TEST(Trainer, WhatIsNotFiniteReplacesNoGoodState) {
  const test::TemporaryFolder folder;
  {
    SmallRun run(folder.path());
    run.setup.options.iterations = 3;
    run.setup.options.schedule_steps = {3, 4};
    ASSERT_EQ(Trainer(run.setup).train(kNeverStop), 0);
  }
  const std::string good = test::read_bytes(folder.path() + "/checkpoint.safetensors");
  const std::string best = test::read_bytes(folder.path() + "/best.safetensors");
  // The last step's own loss is still finite: what it does to the weights shows in the validation.
  SmallRun run(folder.path());
  run.setup.options.iterations = 4;
  run.setup.options.resume = "auto";
  run.setup.options.learning_rate = 1e30;
  run.setup.options.schedule = "constant";
  Trainer trainer(run.setup);
  EXPECT_TRUE(test::fails_with([&] { trainer.train(kNeverStop); }, {"by iteration 4", "the last good state is in"}));
  EXPECT_TRUE(test::read_bytes(folder.path() + "/checkpoint.safetensors") == good);
  EXPECT_TRUE(test::read_bytes(folder.path() + "/best.safetensors") == best);
}

TEST(Trainer, ALoaderThatFailsCostsNoStep) {
  const test::TemporaryFolder folder;
  SmallRun run(folder.path());
  run.setup.options.max_bad_images = 2;
  run.setup.options.workers = 0;  // so that just these are read
  run.setup.options.evaluate_every = 100;
  run.setup.train = failing_after(2 * 32, run.setup.train);
  {
    Trainer trainer(run.setup);
    EXPECT_TRUE(test::fails_with([&] { trainer.train(kNeverStop); }, {"3 of 128 images cannot be read", "went wrong"}));
  }
  SmallRun second(folder.path());
  second.setup.options.resume = "auto";
  second.setup.options.iterations = 2;
  ASSERT_EQ(Trainer(second.setup).train(kNeverStop), 0);
  EXPECT_EQ(log_of(folder.path(), "train").size(), 1U);  // iteration 2, before it was resumed there
}

TEST(Trainer, AValidationOfNoImagesIsNoResult) {
  const test::TemporaryFolder folder;
  SmallRun run(folder.path());
  run.setup.val = failing_after(0, run.setup.val);
  run.setup.options.max_bad_images = 1000;
  Trainer trainer(run.setup);
  EXPECT_TRUE(test::fails_with([&] { trainer.train(kNeverStop); }, {"65 of 128 images cannot be read", "went wrong"}));
  EXPECT_FALSE(std::filesystem::exists(folder.path() + "/best.safetensors"));
  EXPECT_TRUE(std::filesystem::exists(folder.path() + "/checkpoint.safetensors"));
}

TEST(Trainer, SkippedImagesAreInTheLogOfTheirSplit) {
  const test::TemporaryFolder folder;
  SmallRun run(folder.path());
  run.setup.options.workers = 0;
  run.setup.options.max_bad_images = 1000;
  const int64_t train_images = 6 * 32 - 3;
  const int64_t val_images = run.setup.val->size() - 1;
  run.setup.train = failing_after(train_images, run.setup.train, 3);
  run.setup.val = failing_after(val_images, run.setup.val);
  run.setup.options.evaluate_every = 100;
  ASSERT_EQ(Trainer(run.setup).train(kNeverStop), 0);
  const std::vector<nlohmann::json> skipped = log_of(folder.path(), "skipped_image");
  ASSERT_EQ(skipped.size(), 4U);
  EXPECT_THAT(skipped[0].at("message").get<std::string>(), ::testing::HasSubstr("went wrong"));
}

// Neither augmentation nor label smoothing is of validation.
TEST(Trainer, ValidatesAlikeWhateverTheTraining) {
  std::vector<Metrics> all;
  for (const std::string augment : {"none", "flip", "pad-crop", "random-resized-crop", "scale-crop"}) {
    for (const double smoothing : {0.0, 0.3}) {
      const test::TemporaryFolder folder;
      SmallRun run(folder.path());
      run.setup.options.augment = augment;
      run.setup.options.label_smoothing = smoothing;
      all.push_back(Trainer(run.setup).validate());
      EXPECT_TRUE(std::isfinite(all.back().loss));
      EXPECT_EQ(all.back().loss, all.front().loss) << augment << ", label smoothing " << smoothing;
      EXPECT_EQ(all.back().top1_error, all.front().top1_error);
    }
  }
}

// 128 images in batches of 48: two full ones and, in a fixed order, the 32 that are left.
TEST(Trainer, WithoutShufflingEveryImageIsTrained) {
  for (const bool no_shuffle : {false, true}) {
    const test::TemporaryFolder folder;
    SmallRun run(folder.path());
    run.setup.options.batch_size = 48;
    run.setup.options.no_shuffle = no_shuffle;
    run.setup.options.iterations = 3;
    run.setup.options.workers = 0;
    run.setup.options.log_every = 3;
    run.setup.options.evaluate_every = 100;
    ASSERT_EQ(Trainer(run.setup).train(kNeverStop), 0);
    EXPECT_EQ(log_of(folder.path(), "train").back().at("epoch"), no_shuffle ? 1.0 : 1.5);
  }
}

TEST(Trainer, ABatchLargerThanTheDataSetIsOneEpoch) {
  const test::TemporaryFolder folder;
  SmallRun run(folder.path());
  run.setup.options.batch_size = 1000;
  run.setup.options.iterations = 2;
  run.setup.options.log_every = 1;
  ASSERT_EQ(Trainer(run.setup).train(kNeverStop), 0);
  EXPECT_EQ(log_of(folder.path(), "train").back().at("epoch"), 2.0);
}

TEST(Trainer, StepsThatAllOverflowHaveNoLoss) {
  const test::TemporaryFolder folder;
  SmallRun run(folder.path(), DType::f16);
  run.setup.options.iterations = 1;
  run.setup.options.label_smoothing = 0;
  Trainer trainer(run.setup);
  // Weights so large that fp16 overflows.
  for (Parameter* p : trainer.store().parameters()) {
    if (p->name == "fc.weight") {
      p->master.copy_from(full(p->master.shape(), 6e4f, DType::f32));
    }
  }
  trainer.store().masters_changed();
  ASSERT_EQ(trainer.train(kNeverStop), 0);
  EXPECT_EQ(log_of(folder.path(), "train").at(0).at("loss"), "NaN");
}

}  // namespace
}  // namespace residua::test
