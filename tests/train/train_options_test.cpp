#include "core/train/train_options.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "core/tensor/error.h"
#include "tests/support/temporary_folder.h"

namespace residua {
namespace {

ParsedOptions parse(std::vector<std::string> words) {
  std::vector<const char*> argv = {"train-imagenet"};
  for (const std::string& word : words) {
    argv.push_back(word.c_str());
  }
  return parse_train_options(static_cast<int>(argv.size()), argv.data());
}

/// The message of the UsageError that parsing ends in; empty if it does not.
std::string error_of(const std::vector<std::string>& words) {
  try {
    parse(words);
    return "";
  } catch (const UsageError& error) {
    return error.what();
  }
}

TEST(TrainOptions, BadValuesNameWhatWasGotAndWanted) {
  const std::vector<std::vector<std::string>> bad = {
      {"--lr", "nan"},       {"--lr", "inf"},         {"--lr", "-0.1"},           {"--lr", "0"},
      {"--lr", "x"},         {"--momentum", "1.5"},   {"--momentum", "nan"},      {"--weight-decay", "-1"},
      {"--batch-size", "0"}, {"--batch-size", "1.5"}, {"--epochs", "nan"},        {"--iterations", "-3"},
      {"--workers", "-1"},   {"--seed", "-1"},        {"--precision", "fp64"},    {"--dataset", "mnist"},
      {"--shortcut", "D"},   {"--lr-steps", "1,nan"}, {"--mean", "0.5,0.5"},      {"--std", "0,1,1"},
      {"--crop-size", "4"},  {"--lr-schedule", "up"}, {"--label-smoothing", "2"}, {"--mean", "pixel,0.5,0.5"},
      {"--mean", "image"},   {"--mean", "nan,0,0"},   {"--mean", "0.5"},          {"--lr-steps", "5,3"},
      {"--lr-factor", "2"},  {"--resume", "nofile"},  {"--resume", ""},           {"--seed", "010"},
      {"--resume", "auto"},  {"--std", "0.5,0.5"},    {"--weights", "nofile"}};
  for (const auto& words : bad) {
    const std::string message = error_of(words);
    EXPECT_NE(message, "") << words[0] << " " << words[1];
    EXPECT_NE(message.find(words[0]), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
  EXPECT_NE(error_of({"--lr", "nan"}).find("got 'nan', wanted a number above 0"), std::string::npos);
}

TEST(TrainOptions, UnknownFlagsAndKeysAreErrors) {
  EXPECT_NE(error_of({"--learning-rate", "0.1"}), "");
  const testing::TemporaryFolder folder;
  const std::string file = folder.path() + "/c.toml";
  std::ofstream(file) << "lr = 0.5\nlearning-rate = 1\n";
  EXPECT_NE(error_of({"--config", file}).find("learning-rate"), std::string::npos);
  EXPECT_NE(error_of({"--config", folder.path() + "/missing.toml"}), "");
}

TEST(TrainOptions, FlagsWinOverTheFileAndTheWrittenFileReadsBack) {
  const testing::TemporaryFolder folder;
  const std::string file = folder.path() + "/c.toml";
  std::ofstream(file) << "model = \"plain20\"\nlr = 0.5\nlr-steps = [1, 2.5]\nno-shuffle = true\nbatch-size = 64\n";
  const TrainOptions first = parse({"--config", file, "--lr", "0.25"}).options;
  EXPECT_EQ(first.learning_rate, 0.25);
  EXPECT_EQ(first.model, "plain20");
  EXPECT_EQ(first.batch_size, 64);
  EXPECT_TRUE(first.no_shuffle);
  EXPECT_EQ(first.schedule_steps, (std::vector<double>{1, 2.5}));

  const std::string written = folder.path() + "/resolved.toml";
  std::ofstream(written) << first.toml;
  const TrainOptions second = parse({"--config", written}).options;
  EXPECT_EQ(second.learning_rate, 0.25);
  EXPECT_EQ(second.model, first.model);
  EXPECT_EQ(second.schedule_steps, first.schedule_steps);
  EXPECT_EQ(second.no_shuffle, first.no_shuffle);
  EXPECT_EQ(second.mean, first.mean);
}

TEST(TrainOptions, PlansThatMayBeChosenAreFlagsThatTheWrittenFileKeeps) {
  EXPECT_FALSE(parse({}).options.allow_nondeterministic);
  EXPECT_FALSE(parse({}).options.allow_runtime_compilation);
  const testing::TemporaryFolder folder;
  std::ofstream(folder / "first.toml") << parse({"--allow-nondeterministic"}).options.toml;
  std::ofstream(folder / "second.toml") << parse({"--allow-runtime-compilation"}).options.toml;
  const TrainOptions first = parse({"--config", folder / "first.toml"}).options;
  EXPECT_TRUE(first.allow_nondeterministic);
  EXPECT_FALSE(first.allow_runtime_compilation);
  const TrainOptions second = parse({"--config", folder / "second.toml"}).options;
  EXPECT_FALSE(second.allow_nondeterministic);
  EXPECT_TRUE(second.allow_runtime_compilation);
}

TEST(TrainOptions, AResumedRunHasTheSettingsBesideItsCheckpoint) {
  const testing::TemporaryFolder folder;
  std::ofstream(folder / "config.toml") << "model = \"plain20\"\nbatch-size = 64\niterations = 640\n";
  const std::vector<std::string> resume = {"--output", folder.path(), "--resume", "auto"};
  const auto with = [](std::vector<std::string> words, std::initializer_list<std::string> more) {
    words.insert(words.end(), more);
    return parse(words).options;
  };
  // Nothing was saved yet: it starts, as the command line says.
  EXPECT_FALSE(with(resume, {}).model);
  std::ofstream(folder / "checkpoint.safetensors") << "a checkpoint";
  EXPECT_EQ(with(resume, {}).model, "plain20");
  EXPECT_EQ(with(resume, {}).batch_size, 64);
  EXPECT_EQ(with(resume, {}).output, folder.path());
  EXPECT_EQ(with(resume, {"-b", "32"}).batch_size, 32);
  EXPECT_EQ(with({"--resume", folder / "checkpoint.safetensors"}, {}).model, "plain20");
  // Without --resume, or with another file, that file does not count.
  EXPECT_FALSE(with({"--output", folder.path()}, {}).model);
  std::ofstream(folder / "other.toml") << "model = \"resnet32\"\n";
  EXPECT_EQ(with(resume, {"--config", folder / "other.toml"}).model, "resnet32");
  EXPECT_FALSE(with(resume, {"--config", folder / "other.toml"}).batch_size);
}

TEST(TrainOptions, ALengthOnTheCommandLineWinsInEitherUnit) {
  const testing::TemporaryFolder folder;
  const std::string file = folder / "c.toml";
  std::ofstream(file) << "iterations = 640\nlr = 0.5\n";
  const TrainOptions epochs = parse({"--config", file, "--epochs", "3"}).options;
  EXPECT_FALSE(epochs.iterations);
  EXPECT_EQ(epochs.epochs, 3);
  EXPECT_EQ(epochs.learning_rate, 0.5);
  std::ofstream(file) << epochs.toml;
  EXPECT_FALSE(parse({"--config", file}).options.iterations);
  EXPECT_EQ(parse({"--config", file, "--iterations", "7"}).options.iterations, 7);
  EXPECT_EQ(parse({"--iterations", "7", "--epochs", "3"}).options.iterations, 7);
}

TEST(TrainOptions, TheMeanIsAWordOrThreeNumbersAndReadsBack) {
  const testing::TemporaryFolder folder;
  const std::string file = folder.path() + "/c.toml";
  for (const auto& [text, words] : std::map<std::string, std::vector<std::string>>{
           {"pixel", {"pixel"}}, {"channel", {"channel"}}, {"0.5,0.25,1", {"0.5", "0.25", "1"}}}) {
    const TrainOptions first = parse({"--mean", text}).options;
    EXPECT_EQ(first.mean, words);
    std::ofstream(file) << first.toml;
    EXPECT_EQ(parse({"--config", file}).options.mean, words) << first.toml;
  }
  EXPECT_EQ(parse({}).options.mean, std::vector<std::string>());
  std::ofstream(file) << "mean = [0.5, 0.25, 1]\n";
  EXPECT_EQ(parse({"--config", file}).options.mean, (std::vector<std::string>{"0.5", "0.25", "1"}));
}

TEST(TrainOptions, DefaultsFollowTheDataSet) {
  TrainOptions photos = parse({}).options;
  fill_defaults(photos, true);
  EXPECT_EQ(photos.model, "resnet18");
  EXPECT_EQ(photos.batch_size, 256);
  EXPECT_EQ(photos.epochs, 120);
  TrainOptions small = parse({"-b", "32"}).options;
  fill_defaults(small, false);
  EXPECT_EQ(small.model, "resnet20");
  EXPECT_EQ(small.batch_size, 32);
  EXPECT_EQ(small.iterations, 64000);
  // The rate is the paper's for the paper's batch and larger ones, and falls with the batch below that.
  EXPECT_EQ(photos.learning_rate, 0.1);
  EXPECT_EQ(small.learning_rate, 0.025);
  TrainOptions large = parse({"-b", "512"}).options;
  fill_defaults(large, true);
  EXPECT_EQ(large.learning_rate, 0.1);
  TrainOptions given = parse({"-b", "32", "--lr", "0.2"}).options;
  fill_defaults(given, true);
  EXPECT_EQ(given.learning_rate, 0.2);
}

TEST(TrainOptions, StepsAreEpochsUnlessIterationsWereGiven) {
  const TrainOptions epochs = parse({"--lr", "1", "--epochs", "4", "--lr-steps", "1.5,3"}).options;
  EXPECT_EQ(schedule_options(epochs, 100, 400).boundaries, (std::vector<int64_t>{150, 300}));
  const TrainOptions iterations = parse({"--lr", "1", "--iterations", "400", "--lr-steps", "150,300"}).options;
  EXPECT_EQ(schedule_options(iterations, 100, 400).boundaries, (std::vector<int64_t>{150, 300}));
  EXPECT_EQ(schedule_options(parse({"--lr", "1"}).options, 100, 400).boundaries, (std::vector<int64_t>{200, 300}));
}

TEST(TrainOptions, StepsNeedALengthWhereItsDefaultIsOfTheOtherUnit) {
  TrainOptions small = parse({"--lr-steps", "80,120"}).options;
  EXPECT_THROW(fill_defaults(small, false), UsageError);
  TrainOptions photos = parse({"--lr-steps", "30,60"}).options;
  fill_defaults(photos, true);
  EXPECT_EQ(schedule_options(photos, 100, 12000).boundaries, (std::vector<int64_t>{3000, 6000}));
}

TEST(TrainOptions, StepsOfAFileKeepTheirUnit) {
  const testing::TemporaryFolder folder;
  const std::string file = folder.path() + "/c.toml";
  std::ofstream(file) << "iterations = 64000\nlr-steps = [32000, 48000]\n";
  EXPECT_EQ(parse({"--config", file, "--iterations", "50000"}).options.iterations, 50000);
  const std::string message = error_of({"--config", file, "--epochs", "200"});
  EXPECT_NE(message.find("32000,48000"), std::string::npos) << message;
  EXPECT_EQ(parse({"--config", file, "--epochs", "200", "--lr-steps", "100"}).options.schedule_steps[0], 100);
  std::ofstream(file) << "epochs = 90\nlr-steps = [30, 60]\n";
  EXPECT_NE(error_of({"--config", file, "--iterations", "1000"}).find("are in epochs"), std::string::npos);
  EXPECT_EQ(parse({"--config", file, "--epochs", "80"}).options.epochs, 80);
}

TEST(TrainOptions, AListLeavesTheFolderAlone) {
  for (const std::vector<std::string>& list : {std::vector<std::string>{"--mean", "channel"},
                                               {"--mean", "0.5,0.4,0.3"},
                                               {"--std", "0.5,0.4,0.3"},
                                               {"--epochs", "90", "--lr-steps", "30,60"}}) {
    std::vector<std::string> words = list;
    words.emplace_back("PHOTOS");
    EXPECT_EQ(parse(words).options.directory, "PHOTOS") << words[0] << " " << words[1];
  }
}

TEST(TrainOptions, TheWarmUpBeginsBelowTheRate) {
  EXPECT_DOUBLE_EQ(schedule_options(parse({"--lr", "0.003"}).options, 100, 400).warmup_rate, 0.0003);
  EXPECT_EQ(schedule_options(parse({"--lr", "0.1", "--warmup-lr", "0.05"}).options, 100, 400).warmup_rate, 0.05);
}

}  // namespace
}  // namespace residua
