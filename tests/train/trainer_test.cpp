#include "core/train/trainer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <string>

#include "core/data/source.h"
#include "models/catalog.h"
#include "tests/support/temporary_folder.h"

namespace residua {
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
    const SourceOptions source{.image_size = 16, .classes = 4, .images = 128, .seed = 1};
    setup.model = &model;
    setup.model_name = "test";
    setup.input_channels = model.input_channels();
    setup.precision = precision;
    setup.train = open_source("synthetic", "", Split::train, source);
    setup.val = open_source("synthetic", "", Split::val, source);
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

TEST(Trainer, AnInterruptedRunEndsWithTheSameWeights) {
  const testing::TemporaryFolder whole;
  const testing::TemporaryFolder parts;
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
  const testing::TemporaryFolder folder;
  SmallRun run(folder.path());
  Trainer trainer(run.setup);
  const std::sig_atomic_t stop = SIGTERM;
  EXPECT_EQ(trainer.train(stop), SIGTERM);
  EXPECT_TRUE(std::filesystem::exists(folder.path() + "/checkpoint.safetensors"));
}

TEST(Trainer, ResumeRefusesAnotherModelSeedOrBatchSize) {
  const testing::TemporaryFolder folder;
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

TEST(Trainer, OneBatchIsLearntByHeartInEveryPrecision) {
  for (const DType precision : {DType::f32, DType::bf16, DType::f16}) {
    const testing::TemporaryFolder folder;
    SmallRun run(folder.path(), precision);
    Trainer trainer(run.setup);
    const double loss = trainer.overfit_batch(40);
    EXPECT_FALSE(std::isnan(loss)) << name(precision);
    EXPECT_LT(loss, 0.3) << name(precision);
  }
}

TEST(Trainer, ANanLossEndsTheRunWithAdvice) {
  const testing::TemporaryFolder folder;
  SmallRun run(folder.path());
  run.setup.options.learning_rate = 1e30;
  Trainer trainer(run.setup);
  try {
    trainer.train(kNeverStop);
    FAIL() << "the run went on";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("--lr"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace residua
