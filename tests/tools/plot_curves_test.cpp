#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "core/run/event_log.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

/// Runs tools/plot-curves; returns its exit code, its output goes into `out` of the folder.
int plot_curves(const TemporaryFolder& folder, const std::string& arguments) {
  const std::string command = "MPLCONFIGDIR=" + folder.path() + " " RESIDUA_SOURCE_DIR "/tools/plot-curves " + arguments +
                              " > " + folder / "out" + " 2>&1";
  return WEXITSTATUS(std::system(command.c_str()));
}

/// A log as of a run that was killed: no end on its last line, and a loss that is no number.
void write_log(const std::string& folder) {
  std::filesystem::create_directories(folder);
  {
    EventLog log = EventLog::create(folder + "/log.jsonl");
    for (const int64_t iteration : {10, 20, 30, 40}) {
      const double share = static_cast<double>(iteration) / 40;
      log.write(TrainRecord{.iteration = iteration,
                            .epoch = share,
                            .loss = iteration == 20 ? std::nan("") : 2 - share,
                            .top1_error = 90 - 50 * share,
                            .lr = iteration < 30 ? 0.1 : 0.01});
    }
    log.write(EvaluationRecord{.type = "validation", .iteration = 40, .epoch = 1, .loss = 1.2, .top1_error = 41.5});
  }
  AppendFile(folder + "/log.jsonl").append("{\"type\":\"train\",\"itera");
}

class PlotCurves : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::system("/usr/bin/python3 -c 'import matplotlib' 2>/dev/null") != 0) {
      GTEST_SKIP() << "the system's python3 has no matplotlib";
    }
  }
  TemporaryFolder folder_;
};

TEST_F(PlotCurves, DrawsWithoutAStandardOutputToPrintTo) {
  for (const char* output : {"> /dev/full", ">&-", "| true"}) {
    const std::string run = folder_ / "run";
    std::filesystem::remove_all(run);
    write_log(run);
    // A reader that has gone away needs the pipe's exit code.
    const std::string command = "bash -c 'set -o pipefail; MPLCONFIGDIR=" + folder_.path() +
                                " " RESIDUA_SOURCE_DIR "/tools/plot-curves " + run + " 2> " + folder_ / "err" + " " + output +
                                "'";
    EXPECT_EQ(WEXITSTATUS(std::system(command.c_str())), 0) << output;
    EXPECT_EQ(read_bytes(folder_ / "err"), "") << output;
    EXPECT_THAT(read_bytes(run + "/curves.png"), StartsWith("\x89PNG")) << output;
    EXPECT_THAT(read_bytes(run + "/curves.svg"), StartsWith("<?xml")) << output;
  }
}

TEST_F(PlotCurves, DrawsAnUnfinishedRunIntoItsFolder) {
  write_log(folder_ / "run");
  ASSERT_EQ(plot_curves(folder_, folder_ / "run"), 0) << read_bytes(folder_ / "out");
  EXPECT_THAT(read_bytes(folder_ / "run/curves.png"), StartsWith("\x89PNG"));
  const std::string svg = read_bytes(folder_ / "run/curves.svg");
  EXPECT_THAT(svg, StartsWith("<?xml"));
  // Text becomes paths, before which matplotlib writes it as a comment.
  EXPECT_THAT(svg, HasSubstr("run: best validation error 41.50 %"));
  EXPECT_THAT(svg, HasSubstr("lr 0.01"));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_ / "run"), std::filesystem::directory_iterator()), 3);
}

TEST_F(PlotCurves, TakesAFolderWhoseNameIsNotUtf8) {
  write_log(folder_ / "na\xefve");
  ASSERT_EQ(plot_curves(folder_, "'" + folder_ / "na\xefve" + "'"), 0) << read_bytes(folder_ / "out");
  EXPECT_TRUE(std::filesystem::exists(folder_ / "na\xefve/curves.svg"));
}

TEST_F(PlotCurves, LabelsStepsOfTheRateAndNotASmoothFall) {
  std::filesystem::create_directories(folder_ / "run");
  EventLog log = EventLog::create(folder_ / "run/log.jsonl");
  for (const int64_t iteration : {10, 20, 30, 40, 50, 60, 70, 80}) {
    const double rate = 0.05 * (1 + std::cos(M_PI * static_cast<double>(iteration) / 80));
    log.write(TrainRecord{
        .iteration = iteration, .epoch = static_cast<double>(iteration) / 10, .loss = 1, .top1_error = 50, .lr = rate});
  }
  ASSERT_EQ(plot_curves(folder_, folder_ / "run"), 0) << read_bytes(folder_ / "out");
  EXPECT_THAT(read_bytes(folder_ / "run/curves.svg"), Not(HasSubstr("<!-- lr")));

  for (const auto& [iteration, rate] : {std::pair{90, 0.1}, {100, 0.1}, {110, 0.01}, {120, 0.001}, {130, 0.001}}) {
    log.write(TrainRecord{.iteration = iteration, .epoch = iteration / 10.0, .loss = 1, .top1_error = 50, .lr = rate});
  }
  ASSERT_EQ(plot_curves(folder_, folder_ / "run"), 0) << read_bytes(folder_ / "out");
  const std::string svg = read_bytes(folder_ / "run/curves.svg");
  EXPECT_THAT(svg, HasSubstr("<!-- lr 0.01 -->"));
  EXPECT_THAT(svg, HasSubstr("<!-- lr 0.001 -->"));
}

TEST_F(PlotCurves, DrawsSeveralRunsIntoOnePicture) {
  write_log(folder_ / "plain20");
  write_log(folder_ / "resnet20");
  const std::string arguments = folder_ / "plain20" + " " + folder_ / "resnet20" + " --output " + folder_ / "both.svg";
  ASSERT_EQ(plot_curves(folder_, arguments), 0) << read_bytes(folder_ / "out");
  const std::string svg = read_bytes(folder_ / "both.svg");
  EXPECT_THAT(svg, HasSubstr("plain20, training"));
  EXPECT_THAT(svg, HasSubstr("resnet20, validation"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "plain20/curves.png"));
}

TEST_F(PlotCurves, SaysWhatIsMissing) {
  EXPECT_EQ(plot_curves(folder_, folder_ / "nothing"), 2);
  EXPECT_THAT(read_bytes(folder_ / "out"), HasSubstr("nothing/log.jsonl: No such file"));
  std::filesystem::create_directories(folder_ / "run");
  write_bytes(folder_ / "run/log.jsonl", "");
  EXPECT_EQ(plot_curves(folder_, folder_ / "run"), 2);
  EXPECT_THAT(read_bytes(folder_ / "out"), HasSubstr("has no train or validation record yet"));
}

}  // namespace
}  // namespace residua::test
