#include "tools/cli/config_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"
#include "tools/cli/train_command.h"

namespace residua::test {
namespace {

using ::testing::HasSubstr;

/// What a file with this text gives: "key=a,b|key=c|".
std::string read(const std::string& text) {
  const TemporaryFolder folder;
  const TrainCommand command;
  write_bytes(folder / "c.toml", text);
  std::string all;
  for (const Assignment& line : read_config_file(folder / "c.toml", command.settings)) {
    all += line.key + "=";
    for (size_t i = 0; i < line.words.size(); ++i) {
      all += (i == 0 ? "" : ",") + line.words[i];
    }
    all += "|";
  }
  return all;
}

std::string error_of(const std::string& text) {
  try {
    return "read: " + read(text);
  } catch (const UsageError& error) {
    return error.what();
  }
}

TEST(ConfigFile, TomlIsRead) {
  EXPECT_EQ(read("# a comment\nlr = 0.5 # another\nlr-steps = [1, 2.5]\nno-shuffle = true\nmodel = \"plain20\"\n"),
            "lr=0.5|lr-steps=1,2.5|no-shuffle=true|model=plain20|");
  EXPECT_EQ(read("output=\"run#1\"\n"), "output=run#1|");
  EXPECT_EQ(read("output = \"a\\\\b \\\"q\\\"\"\n"), "output=a\\b \"q\"|");
  EXPECT_EQ(read(""), "");
}

TEST(ConfigFile, FilesThatCli11WroteAreRead) {
  // As config_to_str of CLI11 2.1 (Debian 12) wrote them.
  EXPECT_EQ(
      read("dataset=\"synthetic\"\nshortcut='A'\nmean=[0.5, 0.25, 1]\nstd=[0.5, 0.5, 0.5]\nno-shuffle=false\nlr=0.0125\n"),
      "dataset=synthetic|shortcut=A|mean=0.5,0.25,1|std=0.5,0.5,0.5|no-shuffle=false|lr=0.0125|");
  // Numbers as a user typed them, which TOML does not allow.
  EXPECT_EQ(read("lr=.1\nmodel=\"plain20\"\n"), "lr=.1|model=plain20|");
  EXPECT_EQ(read("lr=05\n"), "lr=05|");
  EXPECT_EQ(read("lr = .1\nbatch-size = 32\n"), "lr=.1|batch-size=32|");
  EXPECT_EQ(read("lr-steps=[.5, 01]\n"), "lr-steps=.5,01|");
  EXPECT_EQ(read("model=plain20\n"), "model=plain20|") << "without quotes";
  // A backslash is itself, also where TOML would take it for a tab.
  EXPECT_EQ(read("output=\"C:\\x\"\n"), "output=C:\\x|");
  EXPECT_EQ(read("output=\"runs\\test\"\nlr=0.1\n"), "output=runs\\test|lr=0.1|");
  EXPECT_EQ(read("output=\"C:\\runs\\\"\nlr=.1\n"), "output=C:\\runs\\|lr=.1|");
  EXPECT_EQ(read("output=C:\\new\n"), "output=C:\\new|");
  EXPECT_EQ(read("output='C:\\new'\n"), "output=C:\\new|");
}

TEST(ConfigFile, WhatWasNotSetIsLeftOut) {
  EXPECT_EQ(read("DIR=\"\"\nlr=0.1\nlr-steps=\"[]\"\nmean=\"{}\"\nstd=\"{}\"\nweights=\"\"\n"), "lr=0.1|");
  EXPECT_EQ(read("lr=.1\nlr-steps=\"[]\"\nmean=\"{}\"\nweights=\"\"\n"), "lr=.1|");
}

TEST(ConfigFile, ErrorsNameTheLine) {
  EXPECT_THAT(error_of("lr = 0.5\nbatch-size = \n"), HasSubstr("c.toml, line 2"));
  EXPECT_THAT(error_of("lr = 0.5\nlr = 0.6\n"), HasSubstr("c.toml, line 2"));
  EXPECT_THAT(error_of("lr = .5\nlr = 0.6\n"), HasSubstr("c.toml, line 1"));
  EXPECT_THAT(error_of("output = \"runs\nlr = 0.5\n"), HasSubstr("c.toml, line 1"));
  EXPECT_THAT(error_of("lr-steps = [1, 2\n"), HasSubstr("c.toml, line"));
  EXPECT_THAT(error_of("learning-rate = .5\n"), HasSubstr("c.toml, line 1"));
  EXPECT_THAT(error_of("[sgd]\nlr = .5\n"), HasSubstr("c.toml, line 2"));
}

TEST(ConfigFile, AMissingFileIsNamed) {
  const TrainCommand command;
  EXPECT_THROW(read_config_file("/nowhere/c.toml", command.settings), Error);
}

}  // namespace
}  // namespace residua::test
