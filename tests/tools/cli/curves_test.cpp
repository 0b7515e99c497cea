#include "tools/cli/curves.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

bool has_matplotlib() { return std::system("/usr/bin/python3 -c 'import matplotlib' 2> /dev/null") == 0; }

/// A run's folder with a log of one validation.
std::string run_folder(const TemporaryFolder& folder) {
  write_bytes(folder / "log.jsonl",
              R"({"type":"validation","epoch":1,"iteration":5,"loss":1.5,"top1_error":50,"top5_error":10})");
  return folder.path();
}

TEST(Curves, AreDrawnInTheBackground) {
  if (!has_matplotlib()) {
    GTEST_SKIP() << "needs matplotlib; tools/setup installs it";
  }
  const TemporaryFolder folder;
  Curves curves(run_folder(folder), std::chrono::seconds(0));
  curves.draw_in_background();
  curves.finish();
  EXPECT_TRUE(read_bytes(folder / "curves.png").starts_with("\x89PNG"));
  std::filesystem::remove(folder / "curves.png");
  curves.draw_in_background();  // at once again: more than 3 % of the time
  curves.finish();
  EXPECT_FALSE(std::filesystem::exists(folder / "curves.png"));
  curves.finish();
}

TEST(Curves, AreNotDrawnInTheFirstMinute) {
  const TemporaryFolder folder;
  Curves curves(run_folder(folder));
  curves.draw_in_background();
  curves.finish();
  EXPECT_FALSE(std::filesystem::exists(folder / "curves.png"));
}

class Notes final : public RunObserver {
 public:
  void note(const std::string& text) override { texts.push_back(text); }
  std::vector<std::string> texts;
};

TEST(Curves, AFailureIsANote) {
  const TemporaryFolder folder;  // without a log
  Curves curves(folder.path(), std::chrono::seconds(0));
  curves.draw_in_background();
  Notes notes;
  testing::internal::CaptureStderr();
  curves.draw(notes);
  testing::internal::GetCapturedStderr();
  ASSERT_EQ(notes.texts.size(), 1U) << "of the drawing that is waited for";
  EXPECT_TRUE(notes.texts[0].starts_with("curves were not drawn: run ")) << notes.texts[0];
}

TEST(WriteReport, WritesAPageOrANote) {
  if (std::system("/usr/bin/python3 -c '' 2> /dev/null") != 0) {
    GTEST_SKIP() << "needs /usr/bin/python3";
  }
  const TemporaryFolder folder;
  Notes notes;
  testing::internal::CaptureStderr();
  write_report(folder.path(), notes);  // without a log
  EXPECT_NE(testing::internal::GetCapturedStderr().find("has no log.jsonl"), std::string::npos);
  ASSERT_EQ(notes.texts.size(), 1U);
  EXPECT_TRUE(notes.texts[0].starts_with("the report was not written: run ")) << notes.texts[0];
  EXPECT_TRUE(notes.texts[0].ends_with("/report " + folder.path())) << notes.texts[0];
  write_report(run_folder(folder), notes);
  EXPECT_EQ(notes.texts.size(), 1U);
  EXPECT_TRUE(read_bytes(folder / "report.html").starts_with("<!DOCTYPE html>"));
}

}  // namespace
}  // namespace residua::test
