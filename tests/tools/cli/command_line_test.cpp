#include "tools/cli/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "core/base/version.h"
#include "core/device/built_with_cuda.h"
#include "tools/cli/train_command.h"

namespace residua::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

CommandLine read(const Settings& settings, const std::vector<std::string>& words) {
  std::vector<const char*> argv = {"tool"};
  for (const std::string& word : words) {
    argv.push_back(word.c_str());
  }
  return read_command_line(settings, "tool", "A tool.", static_cast<int>(argv.size()), argv.data());
}

/// What train-imagenet's settings read from some words: "key=a,b key=c".
std::string given(const std::vector<std::string>& words) {
  const TrainCommand command;
  std::string text;
  for (const Assignment& line : read(command.settings, words).given) {
    text += (text.empty() ? "" : " ") + line.key + "=";
    for (size_t i = 0; i < line.words.size(); ++i) {
      text += (i == 0 ? "" : ",") + line.words[i];
    }
  }
  return text;
}

std::string error_of(const std::vector<std::string>& words) {
  try {
    given(words);
    return "";
  } catch (const UsageError& error) {
    return error.what();
  }
}

TEST(CommandLineTest, EverySettingHasItsFlagAndItsAliases) {
  const TrainCommand command;
  for (const auto& setting : command.settings.all()) {
    std::vector<std::string> flags = {"--" + setting->name};
    for (const std::string& alias : setting->aliases) {
      flags.push_back((alias.size() == 1 ? "-" : "--") + alias);
    }
    if (setting->positional) {
      EXPECT_EQ(given({"7"}), setting->name + "=7");
      continue;
    }
    for (const std::string& flag : flags) {
      if (setting->kind == WordKind::flag) {
        EXPECT_EQ(given({flag}), setting->name + "=true");
        EXPECT_EQ(given({flag, "folder"}), "DIR=folder " + setting->name + "=true");
        EXPECT_EQ(given({flag + "=false"}), setting->name + "=false");
      } else {
        EXPECT_EQ(given({flag, "7"}), setting->name + "=7");
        EXPECT_EQ(given({flag, "word"}), setting->name + "=word");
        EXPECT_NE(error_of({flag}), "") << "without a value";
      }
      if (flag.starts_with("--") && setting->kind != WordKind::flag) {
        EXPECT_EQ(given({flag + "=7"}), setting->name + "=7");
      }
    }
  }
}

TEST(CommandLineTest, AliasesAreThoseOfBefore) {
  EXPECT_EQ(given({"-j", "4", "-m", "plain20", "-b", "32", "-o", "run", "--wd", "0.1"}),
            "workers=4 model=plain20 batch-size=32 weight-decay=0.1 output=run");
  EXPECT_EQ(given({"-j4", "-b32"}), "workers=4 batch-size=32");
}

TEST(CommandLineTest, AListIsOneWordOrSeveralNumbers) {
  EXPECT_EQ(given({"--mean", "0.485,0.456,0.406", "PHOTOS"}), "DIR=PHOTOS mean=0.485,0.456,0.406");
  EXPECT_EQ(given({"--mean", "0.485", "0.456", "0.406"}), "mean=0.485,0.456,0.406");
  EXPECT_EQ(given({"--mean", "0.485", "0.456", "0.406", "PHOTOS"}), "DIR=PHOTOS mean=0.485,0.456,0.406");
  EXPECT_EQ(given({"--mean", "channel", "PHOTOS"}), "DIR=PHOTOS mean=channel");
  EXPECT_EQ(given({"--lr-steps", "30,60", "PHOTOS"}), "DIR=PHOTOS lr-steps=30,60");
  EXPECT_EQ(given({"--lr-steps=30,60", "2024"}), "DIR=2024 lr-steps=30,60");
  EXPECT_EQ(given({"--lr-steps", "30,60", "2024"}), "DIR=2024 lr-steps=30,60") << "what follows a whole list is not its own";
  EXPECT_EQ(given({"--std", "0.5", "0.4", "0.3", "--lr", "1"}), "std=0.5,0.4,0.3 lr=1");
  EXPECT_THAT(error_of({"--mean", "0.485,", "0.456,", "0.406"}),
              HasSubstr("write a list as one word with commas: 0.5,0.4,0.3"));
}

TEST(CommandLineTest, AValueMayBeginWithADash) {
  EXPECT_EQ(given({"--weight-decay", "-1"}), "weight-decay=-1");
  EXPECT_EQ(given({"-b", "-5"}), "batch-size=-5");
  EXPECT_EQ(given({"--lr", "-inf"}), "lr=-inf");
  EXPECT_EQ(given({"--output", "a,b c"}), "output=a,b c") << "a comma is part of a text";
}

TEST(CommandLineTest, UnknownFlagsComeInTheirOrderWithTheNearestKnownOne) {
  EXPECT_EQ(error_of({"--weigth-decay", "1", "--zzzzzzzz", "--lr-step=3", "-q"}),
            "unknown flag --weigth-decay (did you mean --weight-decay?), --zzzzzzzz, --lr-step (did you mean --lr-steps?), -q; "
            "see tool --help");
  EXPECT_THAT(error_of({"--learning-rate", "0.1"}), HasSubstr("unknown flag --learning-rate"));
  EXPECT_THAT(error_of({"PHOTOS", "more"}), HasSubstr("unexpected argument 'more'"));
}

TEST(CommandLineTest, AFlagComesOnceUnlessItIsAList) {
  EXPECT_EQ(error_of({"--lr", "1", "--lr", "2"}), "lr: got '1 and 2', wanted the flag once");
  EXPECT_EQ(error_of({"--output", "a", "-o", "b,c"}), "output: got 'a and b,c', wanted the flag once");
  EXPECT_EQ(error_of({"-b", "4", "--batch-size=4", "-b4"}), "batch-size: got '4 and 4 and 4', wanted the flag once");
  EXPECT_EQ(error_of({"--evaluate", "--evaluate"}), "evaluate: got 'true and true', wanted the flag once");
  EXPECT_EQ(given({"--lr-steps", "1", "--lr-steps", "2,3"}), "lr-steps=1,2,3");
}

TEST(CommandLineTest, TheVersionNamesTheProgramAndItsDevices) {
  const TrainCommand command;
  const char* devices = kBuiltWithCuda ? "CPU and CUDA devices" : "CPU device";
  EXPECT_EQ(*read(command.settings, {"--version"}).text, fmt::format("tool {} ({})\n", version(), devices));
}

TEST(CommandLineTest, TheHelpHasEverySettingWithItsDefaultAndChoices) {
  const TrainCommand command;
  const std::string help = *read(command.settings, {"--help"}).text;
  for (const auto& setting : command.settings.all()) {
    EXPECT_THAT(help, HasSubstr(setting->positional ? setting->name : "--" + setting->name));
    EXPECT_THAT(help, HasSubstr("\n" + setting->group + ":\n"));
  }
  std::istringstream lines(help);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 110U) << line;
  }
  std::string flat = help;
  std::ranges::replace(flat, '\n', ' ');
  flat.erase(std::ranges::unique(flat, [](char a, char b) { return a == ' ' && b == ' '; }).begin(), flat.end());
  for (const auto& setting : command.settings.all()) {
    EXPECT_THAT(flat, HasSubstr(setting->help));
  }
  EXPECT_THAT(
      flat,
      AllOf(
          HasSubstr("Momentum of SGD. Default: 0.9."),
          HasSubstr("L2 weight decay, applied to all parameters as in the paper. Default: 0.0001."),
          HasSubstr("Compute threads of each process on the CPU. 0: one per core;"),
          HasSubstr(
              "Global batch size: the images of one optimizer step. Default: 256 (recipe photos), 128 (recipe small-images)."),
          HasSubstr("--precision auto|fp32|bf16|fp16"), HasSubstr("-b,--batch-size NUMBER"), HasSubstr("--threads auto|NUMBER"),
          HasSubstr("--mean pixel|channel|R,G,B|FILE"), HasSubstr("--std R,G,B "),
          HasSubstr("Peak learning rate. Default: 0.1."), HasSubstr("--weight-decay,--wd NUMBER"),
          HasSubstr("constant: the rate does not change; cosine:")));
  size_t defaults = 0;
  for (size_t at = flat.find("Default: "); at != std::string::npos; at = flat.find("Default: ", at + 1)) {
    ++defaults;
  }
  const auto has_default = [](const auto& s) { return s->saved && !s->positional && s->kind != WordKind::flag; };
  EXPECT_EQ(defaults, static_cast<size_t>(std::ranges::count_if(command.settings.all(), has_default)));
}

TEST(CommandLineTest, ErrorsAreWordedWithTheFlag) {
  TrainCommand command;
  const auto message = [&](const char* name, const char* word) {
    try {
      command.settings.assign(name, {word}, Layer::command_line);
      return std::string();
    } catch (const UsageError& error) {
      return worded(error, command.settings, "train-imagenet");
    }
  };
  EXPECT_EQ(message("wd", "-1"),
            "train-imagenet: --weight-decay: got '-1', wanted a number from 0 to 2147483647; see train-imagenet --help");
  EXPECT_EQ(message("model", "resnet2O"),
            "train-imagenet: --model: got 'resnet2O', wanted the name of a model; did you mean resnet20, resnet18, resnet34?; "
            "see train-imagenet --help");
  EXPECT_EQ(worded(UsageError("the folder x is gone"), command.settings, "train-imagenet"),
            "train-imagenet: the folder x is gone");
  EXPECT_EQ(worded(UsageError("DIR", "x", "a folder"), command.settings, "train-imagenet"),
            "train-imagenet: DIR: got 'x', wanted a folder; see train-imagenet --help");
}

}  // namespace
}  // namespace residua::test
