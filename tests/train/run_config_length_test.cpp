// The length of a run and the steps of its learning rate, in either unit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/train/layered_run.h"

namespace residua::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Optional;

TEST(RunConfig, ALengthOfALaterLayerWinsInEitherUnit) {
  LayeredRun epochs;
  epochs.file("iterations = 640\nlr = 0.5\n").flag("epochs", {"3"}).finish(false);
  EXPECT_FALSE(epochs.config.training.iterations);
  EXPECT_THAT(epochs.config.training.epochs, Optional(3));
  LayeredRun iterations;
  iterations.file("epochs = 3\n").flag("iterations", {"7"}).finish(true);
  EXPECT_THAT(iterations.config.training.iterations, Optional(7));
  EXPECT_FALSE(iterations.config.training.epochs);
  LayeredRun both;
  both.flag("iterations", {"7"}).flag("epochs", {"3"}).finish(true);
  EXPECT_THAT(both.config.training.iterations, Optional(7));
  LayeredRun file_alone;
  file_alone.file("epochs = 2\n").finish(false);
  EXPECT_FALSE(file_alone.config.training.iterations) << "the recipe's length does not count any more";
  EXPECT_THAT(file_alone.config.training.epochs, Optional(2));
}

TEST(RunConfig, LengthsAreInIterations) {
  EXPECT_EQ(run_length({.epochs = 1.5}, 100).total_iterations, 150);
  EXPECT_EQ(run_length({.epochs = 0.001}, 100).total_iterations, 1) << "at least one";
  EXPECT_EQ(run_length({.iterations = 7}, 100).total_iterations, 7);
  EXPECT_EQ(run_length({.iterations = 7}, 100).step_unit, StepUnit::iterations);
  EXPECT_EQ(run_length({.epochs = 2}, 100).step_unit, StepUnit::epochs);
  EXPECT_THROW(run_length({}, 100), UsageError);
}

TEST(RunConfig, StepsAreEpochsUnlessIterationsWereGiven) {
  LayeredRun epochs;
  epochs.flag("epochs", {"4"}).flag("lr-steps", {"1.5", "3"}).finish(false);
  EXPECT_THAT(epochs.falls(), ElementsAre(150, 300));
  LayeredRun iterations;
  iterations.flag("iterations", {"400"}).flag("lr-steps", {"150", "300"}).finish(true);
  EXPECT_THAT(iterations.falls(), ElementsAre(150, 300));
  LayeredRun neither;
  neither.flag("epochs", {"4"}).finish(true);
  EXPECT_THAT(neither.falls(), ElementsAre(200, 300));
  LayeredRun of_file;
  of_file.file("iterations = 400\n").flag("lr-steps", {"150"}).finish(true);
  EXPECT_THAT(of_file.falls(), ElementsAre(150)) << "steps of the command line are in the unit of the length";
}

TEST(RunConfig, StepsNeedALengthWhereTheRecipesIsOfTheOtherUnit) {
  LayeredRun small;
  small.flag("lr-steps", {"80", "120"});
  EXPECT_THAT(small.error(false), AllOf(HasSubstr("lr-steps: got '80,120'"), HasSubstr("length too")));
  LayeredRun photos;
  photos.flag("lr-steps", {"30", "60"}).finish(true);
  EXPECT_THAT(photos.falls(), ElementsAre(3000, 6000));
}

TEST(RunConfig, StepsOfAFileKeepTheirUnit) {
  const std::string iterations = "iterations = 64000\nlr-steps = [32000, 48000]\n";
  LayeredRun longer;
  longer.file(iterations).flag("iterations", {"50000"}).finish(true);
  EXPECT_THAT(longer.falls(), ElementsAre(32000, 48000));
  LayeredRun other;
  other.file(iterations).flag("epochs", {"200"});
  EXPECT_THAT(other.error(true), AllOf(HasSubstr("32000,48000"), HasSubstr("the file's lr-steps are in iterations")));
  LayeredRun repeated;
  repeated.file(iterations).flag("epochs", {"200"}).flag("lr-steps", {"100"}).finish(true);
  EXPECT_THAT(repeated.falls(), ElementsAre(10000));
  const std::string epochs = "epochs = 90\nlr-steps = [30, 60]\n";
  LayeredRun in_epochs;
  in_epochs.file(epochs).flag("iterations", {"1000"});
  EXPECT_THAT(in_epochs.error(false), HasSubstr("are in epochs"));
  LayeredRun shorter;
  shorter.file(epochs).flag("epochs", {"80"}).finish(false);
  EXPECT_THAT(shorter.falls(), ElementsAre(3000, 6000));
}

}  // namespace
}  // namespace residua::test
