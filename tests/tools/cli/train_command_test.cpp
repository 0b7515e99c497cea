#include "tools/cli/train_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>

#include "core/run/checkpoint.h"
#include "tests/support/temporary_folder.h"
#include "tools/cli/command_line.h"

namespace residua::test {
namespace {

namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Optional;

std::unique_ptr<TrainCommand> parse(const std::vector<std::string>& words) {
  std::vector<const char*> argv = {"train-imagenet"};
  for (const std::string& word : words) {
    argv.push_back(word.c_str());
  }
  auto command = std::make_unique<TrainCommand>();
  EXPECT_FALSE(read_train_command(*command, static_cast<int>(argv.size()), argv.data()));
  return command;
}

std::string error_of(const std::vector<std::string>& words) {
  const TrainCommand command;
  try {
    parse(words);
    return "";
  } catch (const UsageError& error) {
    return worded(error, command.settings, "train-imagenet");
  }
}

/// The bytes of a checkpoint.
std::string checkpoint_bytes() {
  const TemporaryFolder folder;
  save_checkpoint(folder / "file", {{"iteration", 1}}, {});
  return read_bytes(folder / "file");
}
const std::string kCheckpoint = checkpoint_bytes();

class TrainCommandTest : public ::testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& text) {
    fs::create_directories(fs::path(folder_ / name).parent_path());
    write_bytes(folder_ / name, text);
    return folder_ / name;
  }
  TemporaryFolder folder_;
};

TEST_F(TrainCommandTest, BadValuesNameTheirFlagInOneLine) {
  const std::vector<std::vector<std::string>> bad = {
      {"--lr", "nan"},           {"--momentum", "1.5"},     {"--weight-decay", "-1"},  {"--batch-size", "1.5"},
      {"--precision", "fp64"},   {"--dataset", "x"},        {"--lr-steps", "1,nan"},   {"--mean", "0.5,0.5"},
      {"--std", "0,1,1"},        {"--lr-schedule", "up"},   {"--resume", ""},          {"--resume", "nofile"},
      {"--resume", "auto"},      {"--weights", "nofile"},   {"--config", "nofile"},    {"--recipe", "all"},
      {"--mean", "pixel,0,0.5"}, {"--max-bad-images", "x"}, {"--lr", "1", "--lr", "2"}};
  for (const auto& words : bad) {
    const std::string message = error_of(words);
    EXPECT_THAT(message, AllOf(HasSubstr("train-imagenet: " + words[0] + ": got '"), HasSubstr(", wanted "),
                               HasSubstr("; see train-imagenet --help")));
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
}

TEST_F(TrainCommandTest, FlagsWinOverTheFile) {
  const std::string file =
      write("c.toml", "model = \"plain20\"\nlr = 0.5\nlr-steps = [1, 2.5]\nepochs = 4\nno-shuffle = true\nwd = 0.25\n");
  const auto command = parse({"--config", file, "--lr", "0.25"});
  EXPECT_EQ(command->run.schedule.rate, 0.25);
  EXPECT_EQ(command->run.model.name, "plain20");
  EXPECT_TRUE(command->run.input.no_shuffle);
  EXPECT_EQ(command->run.sgd.weight_decay, 0.25f);
  EXPECT_THAT(command->run.schedule.steps, ElementsAre(1, 2.5));
  EXPECT_FALSE(parse({"--config", file, "--no-shuffle=false"})->run.input.no_shuffle);
}

TEST_F(TrainCommandTest, ErrorsOfAFileNameIt) {
  const std::string file = write("c.toml", "lr = 0.5\nlearning-rate = 1\n");
  EXPECT_THAT(error_of({"--config", file}), HasSubstr("c.toml: there is no setting 'learning-rate'"));
  const std::string range = write("d.toml", "momentum = 2\n");
  EXPECT_THAT(error_of({"--config", range}), HasSubstr("d.toml: momentum: got '2', wanted a number from 0 to 1"));
  const std::string action = write("e.toml", "evaluate = true\n");
  EXPECT_THAT(error_of({"--config", action}), HasSubstr("evaluate is an action"));
}

TEST_F(TrainCommandTest, AResumedRunHasTheSettingsBesideItsCheckpoint) {
  write("run/config.toml", "model = \"plain20\"\nbatch-size = 64\niterations = 640\noutput = \"elsewhere\"\n");
  const std::string run = folder_ / "run";
  const std::vector<std::string> resume = {"--output", run, "--resume", "auto"};
  const auto with = [](std::vector<std::string> words, std::initializer_list<std::string> more) {
    words.insert(words.end(), more);
    return parse(words);
  };
  // Nothing was saved yet: it starts, as the command line says.
  EXPECT_EQ(with(resume, {})->run.model.name, "");
  EXPECT_EQ(with(resume, {})->checkpoint, "");
  const std::string checkpoint = write("run/checkpoint.safetensors", kCheckpoint);
  EXPECT_EQ(with(resume, {})->run.model.name, "plain20");
  EXPECT_EQ(with(resume, {})->run.training.batch_size, 64);
  EXPECT_EQ(with(resume, {})->run.output.folder, run);
  EXPECT_EQ(with(resume, {})->checkpoint, checkpoint);
  EXPECT_EQ(with(resume, {"-b", "32"})->run.training.batch_size, 32);
  EXPECT_THAT(with(resume, {"--epochs", "3"})->run.training.epochs, Optional(3));
  EXPECT_FALSE(with(resume, {"--epochs", "3"})->run.training.iterations);
  // The checkpoint alone: the run goes on where it is, not where it was.
  EXPECT_EQ(parse({"--resume", checkpoint})->run.model.name, "plain20");
  EXPECT_EQ(parse({"--resume", checkpoint})->run.output.folder, run);
  EXPECT_EQ(parse({"--resume", checkpoint, "--output", "other"})->run.output.folder, "other");
  // Without --resume, or with another file, that file does not count.
  EXPECT_EQ(parse({"--output", run})->run.model.name, "");
  const std::string other = write("other.toml", "model = \"resnet32\"\n");
  EXPECT_EQ(with(resume, {"--config", other})->run.model.name, "resnet32");
  EXPECT_EQ(with(resume, {"--config", other})->run.training.batch_size, 128);
  EXPECT_EQ(parse({"--resume", checkpoint, "--config", other})->run.output.folder, run);
  // The output folder may come from a file.
  const std::string named = write("named.toml", "output = \"" + run + "\"\nmodel = \"resnet44\"\n");
  EXPECT_EQ(parse({"--config", named, "--resume", "auto"})->checkpoint, checkpoint);
}

TEST_F(TrainCommandTest, ResumeAutoFindsTheDefaultFolder) {
  const fs::path before = fs::current_path();
  fs::current_path(folder_.path());
  EXPECT_EQ(parse({"--dataset", "synthetic", "--resume", "auto"})->checkpoint, "");
  write("runs/resnet20-synthetic/checkpoint.safetensors", kCheckpoint);
  write("runs/resnet20-synthetic/config.toml", "lr = 0.5\n");
  const auto found = parse({"--dataset", "synthetic", "--resume", "auto"});
  EXPECT_EQ(found->checkpoint, "runs/resnet20-synthetic/checkpoint.safetensors");
  EXPECT_EQ(found->run.output.folder, "runs/resnet20-synthetic");
  EXPECT_EQ(found->run.schedule.rate, 0.5);
  EXPECT_EQ(parse({"--dataset", "synthetic", "--resume", "auto", "-m", "plain20"})->checkpoint, "");
  write("runs/plain20-synthetic/checkpoint.safetensors", kCheckpoint);
  EXPECT_EQ(parse({"--dataset", "synthetic", "--resume", "auto", "-m", "plain20"})->checkpoint,
            "runs/plain20-synthetic/checkpoint.safetensors");
  write("runs/resnet18-synthetic/checkpoint.safetensors", kCheckpoint);
  EXPECT_EQ(parse({"--dataset", "synthetic", "--resume", "auto", "--recipe", "photos"})->checkpoint,
            "runs/resnet18-synthetic/checkpoint.safetensors");
  // Photos, named by their folder.
  for (const char* split : {"train", "val"}) {
    for (const char* name : {"a", "b"}) {
      write(fmt::format("photos/{}/{}/1.ppm", split, name), "P6\n1 1\n255\nabc");
    }
  }
  write("runs/resnet18-photos/checkpoint.safetensors", kCheckpoint);
  EXPECT_EQ(parse({"photos/", "--resume", "auto"})->checkpoint, "runs/resnet18-photos/checkpoint.safetensors");
  fs::current_path(before);
}

TEST_F(TrainCommandTest, WeightsMustExistUnlessTheRunHasBegun) {
  EXPECT_THAT(error_of({"--weights", "nofile"}), HasSubstr("--weights: got 'nofile', wanted a file that exists"));
  const std::string checkpoint = write("run/checkpoint.safetensors", kCheckpoint);
  EXPECT_EQ(parse({"--weights", "nofile", "--resume", checkpoint})->run.weights.file, "nofile");
}

TEST_F(TrainCommandTest, FilesOfEarlierVersionsAreRead) {
  // A whole config.toml as CLI11 2.4 wrote it, where empty lists are "{}".
  const std::string file = write(
      "c.toml",
      "dataset=\"synthetic\"\nno-shuffle=false\nmean=\"{}\"\nstd=\"{}\"\nworkers=2\nmax-bad-images=100\nsynthetic-classes=10\n"
      "synthetic-images=32\nshortcut-pad=\"end\"\nshortcut-pool=\"stride\"\nbottleneck-stride=\"conv3x3\"\ninit=\"fan-in\"\n"
      "iterations=2\nmomentum=0.90000000000000002\nweight-decay=0.0001\nlabel-smoothing=0\nlr-schedule=\"step\"\n"
      "lr-steps=\"{}\"\nlr-factor=0.1\nwarmup-iterations=0\nwarmup=\"linear\"\nprecision=\"auto\"\ndevice=\"auto\"\n"
      "cuda-graph=\"on\"\nthreads=0\nseed=0\nlog-every=50\nevaluate-every=1\nmodel=\"resnet20\"\nbatch-size=16\nlr=.0125\n"
      "augment=\"pad-crop\"\ncrop-size=16\noutput=\"C:\\runs\"\n");
  const auto command = parse({"--config", file});
  apply_recipe(command->settings, command->run, false);
  EXPECT_EQ(command->run.dataset.name, "synthetic");
  EXPECT_THAT(command->settings.find("synthetic-images")->get(), ElementsAre("32"));
  EXPECT_EQ(command->run.input.mean, MeanKind::by_source);
  EXPECT_EQ(command->run.sgd.momentum, 0.9f);
  EXPECT_EQ(rate_for_batch(command->run.schedule, command->run.training.batch_size), 0.0125);
  EXPECT_THAT(command->run.training.iterations, Optional(2));
  EXPECT_EQ(command->run.output.folder, "C:\\runs");
}

TEST_F(TrainCommandTest, HelpIsText) {
  TrainCommand command;
  const std::vector<const char*> argv = {"train-imagenet", "--help"};
  EXPECT_THAT(read_train_command(command, 2, argv.data()), Optional(HasSubstr("--list-recipes")));
}

}  // namespace
}  // namespace residua::test
