#include "core/run/event_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "core/base/error.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_file_system.h"
#include "tests/support/warning_log.h"

namespace residua::test {
namespace {

std::vector<nlohmann::json> records(const std::string& path) {
  std::vector<nlohmann::json> found;
  std::istringstream text(read_bytes(path));
  for (std::string line; std::getline(text, line);) {
    found.push_back(nlohmann::json::parse(line));
  }
  return found;
}

TrainRecord train_at(int64_t iteration) { return {.iteration = iteration, .epoch = 0.5, .loss = 1.25, .lr = 0.1}; }

TEST(EventLog, WritesOneObjectALineAtOnce) {
  const TemporaryFolder folder;
  const std::string path = folder / "log.jsonl";
  EventLog log = EventLog::create(path);
  log.write(TrainRecord{.iteration = 50,
                        .epoch = 0.25,
                        .loss = 1.5,
                        .top1_error = 70,
                        .top5_error = 20,
                        .lr = 0.1,
                        .images_per_second = 2900,
                        .data_wait = 0.01,
                        .seconds = 2.5});
  EXPECT_EQ(read_bytes(path),
            "{\"type\":\"train\",\"iteration\":50,\"epoch\":0.25,\"loss\":1.5,\"top1_error\":70.0,\"top5_error\":20.0,"
            "\"lr\":0.1,\"images_per_second\":2900.0,\"data_wait\":0.01,\"seconds\":2.5}\n");
  log.write(EvaluationRecord{
      .type = "validation", .iteration = 50, .epoch = 1, .loss = 0.5, .top1_error = 30, .top5_error = 3, .seconds = 1.5});
  log.write(nlohmann::ordered_json{{"type", "note"}, {"text", "two\nlines \xff"}});
  const std::vector<nlohmann::json> read = records(path);
  ASSERT_EQ(read.size(), 3U);
  EXPECT_EQ(read[1]["type"], "validation");
  EXPECT_EQ(read[1]["top1_error"], 30);
  EXPECT_EQ(read[1]["seconds"], 1.5);
  EXPECT_EQ(read[2]["text"], "two\nlines \ufffd");
}

TEST(EventLog, NamesNumbersThatJsonHasNot) {
  const TemporaryFolder folder;
  EventLog log = EventLog::create(folder / "log.jsonl");
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  log.write(TrainRecord{.loss = std::nan(""), .top1_error = kInfinity, .top5_error = -kInfinity});
  log.write(nlohmann::ordered_json{{"type", "nested"}, {"list", {1.0, kInfinity}}});
  const std::vector<nlohmann::json> read = records(folder / "log.jsonl");
  EXPECT_EQ(read[0]["loss"], "NaN");
  EXPECT_EQ(read[0]["top1_error"], "Infinity");
  EXPECT_EQ(read[0]["top5_error"], "-Infinity");
  EXPECT_EQ(read[1]["list"][1], "Infinity");
}

TEST(EventLog, CreateStartsOver) {
  const TemporaryFolder folder;
  const std::string path = folder / "log.jsonl";
  EventLog::create(path).write(train_at(1));
  EventLog::create(path).write(train_at(2));
  ASSERT_EQ(records(path).size(), 1U);
  EXPECT_EQ(records(path)[0]["iteration"], 2);
}

TEST(EventLog, ResumeDropsWhatWillHappenAgain) {
  const TemporaryFolder folder;
  const std::string path = folder / "log.jsonl";
  {
    EventLog log = EventLog::create(path);
    log.write(nlohmann::ordered_json{{"type", "run"}, {"model", "resnet20"}});
    for (const int64_t iteration : {10, 20, 30}) {
      log.write(train_at(iteration));
    }
    log.write(EvaluationRecord{.type = "validation", .iteration = 30});
  }
  const WarningLog warnings;
  EventLog log = EventLog::resume(path, {.iteration = 20});
  EXPECT_EQ(warnings.text(), path + ": dropped 2 records that are damaged or later than iteration 20\n");
  log.write(train_at(25));
  const std::vector<nlohmann::json> read = records(path);
  ASSERT_EQ(read.size(), 4U);
  EXPECT_EQ(read[0]["type"], "run");
  EXPECT_EQ(read[2]["iteration"], 20);
  EXPECT_EQ(read[3]["iteration"], 25);
}

// A checkpoint may be of the moment before the validation at its iteration, which the run then repeats.
TEST(EventLog, ResumeDropsAnEvaluationThatWillHappenAgain) {
  const TemporaryFolder folder;
  const std::string path = folder / "log.jsonl";
  {
    EventLog log = EventLog::create(path);
    log.write(train_at(20));
    for (const char* type : {"clean_train", "validation", "test"}) {
      log.write(EvaluationRecord{.type = type, .iteration = 20});
    }
  }
  EventLog::resume(path, {.iteration = 20, .validated = 20, .tested = 20});
  EXPECT_EQ(records(path).size(), 4U);
  EventLog::resume(path, {.iteration = 20, .validated = 20, .tested = 0});
  EXPECT_EQ(records(path).size(), 3U);
  EventLog::resume(path, {.iteration = 20, .validated = 10, .tested = 0});
  ASSERT_EQ(records(path).size(), 1U);
  EXPECT_EQ(records(path)[0]["type"], "train");
}

TEST(EventLog, ResumeRemovesALineCutShort) {
  const TemporaryFolder folder;
  const std::string path = folder / "log.jsonl";
  const std::string whole = "{\"type\":\"train\",\"iteration\":1}\n";
  for (const std::string& rest : {std::string("{\"type\":\"tra"), std::string("{\"type\":\"train\",\"iteration\":2}"),
                                  std::string(3, '\0') + "\n", std::string("[1]\n")}) {
    write_bytes(path, whole + rest);
    EventLog::resume(path, {.iteration = 100});
    EXPECT_EQ(read_bytes(path), whole) << rest;
  }
}

TEST(EventLog, ResumeThatDropsNothingIsSilent) {
  const TemporaryFolder folder;
  const std::string path = folder / "log.jsonl";
  EventLog::create(path).write(train_at(1));
  const WarningLog warnings;
  EventLog::resume(path, {.iteration = 1});
  EXPECT_EQ(warnings.text(), "");
}

TEST(EventLog, PrintsNothingItself) {
  const TemporaryFolder folder;
  const std::string path = folder / "log.jsonl";
  EventLog::create(path).write(train_at(2));
  testing::internal::CaptureStderr();
  testing::internal::CaptureStdout();
  EventLog::resume(path, {.iteration = 1});
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_TRUE(records(path).empty());
}

TEST(EventLog, ResumeWithoutAFileStartsOne) {
  const TemporaryFolder folder;
  EventLog::resume(folder / "log.jsonl", {.iteration = 7}).write(train_at(8));
  EXPECT_EQ(records(folder / "log.jsonl").size(), 1U);
}

// A disk that is full for a while: part of a record is written, then nothing, then there is room again.
TEST(EventLog, ARecordThatFailsIsWrittenWithTheNextOne) {
  const TemporaryFolder folder;
  const std::string path = folder / "log.jsonl";
  EventLog log = EventLog::create(path);
  log.write(train_at(1));
  {
    TestFileSystem files(TestFileSystem::Fault::stop, 1, ENOSPC);
    files.most_bytes = 7;  // written before the disk is full
    const ScopedFileSystem in_force(files);
    EXPECT_THROW(log.write(train_at(2)), Error);
    EXPECT_THROW(log.write(train_at(3)), Error);
  }
  EXPECT_TRUE(read_bytes(path).ends_with("{\"type\"")) << "a torn record";
  log.write(train_at(4));
  ASSERT_EQ(records(path).size(), 4U);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(records(path)[i]["iteration"], i + 1);
  }
}

TEST(EventLog, AFullDiskIsAnError) {
  AppendFile full("/dev/full");
  try {
    full.append("x");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), ::testing::AllOf(::testing::HasSubstr("/dev/full"), ::testing::HasSubstr("No space left")));
  }
  const TemporaryFolder folder;
  EXPECT_THROW(EventLog::create(folder / "missing/log.jsonl"), Error);
}

}  // namespace
}  // namespace residua::test
