#include "core/base/warning.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/warning_log.h"

namespace residua::test {
namespace {

TEST(Warning, ComesToTheSinkFormatted) {
  const WarningLog log;
  warn("{} of {} {{}}", 3, std::string("four"));
  EXPECT_EQ(log.text(), "3 of four {}\n");
}

TEST(Warning, IsDroppedWithoutASink) {
  std::string text;
  set_warning_sink([&](const std::string& warning) { text += warning; });
  set_warning_sink({});
  testing::internal::CaptureStderr();
  testing::internal::CaptureStdout();
  warn("nobody hears {}", "it");
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(text, "") << "the sink before";
}

TEST(Warning, OfADestructorMayMeetASinkThatThrows) {
  struct Warner {
    ~Warner() { warn("at the end"); }
  };
  int calls = 0;
  set_warning_sink([&](const std::string&) {
    ++calls;
    throw std::runtime_error("the sink's");
  });
  { const Warner warner; }
  { const Warner warner; }
  set_warning_sink({});
  EXPECT_EQ(calls, 2) << "the first one must not leave the sink locked";
}

TEST(Warning, ComesFromOneThreadAtATime) {
  constexpr int kThreads = 4, kWarnings = 500;
  std::atomic<int> inside = 0, overlaps = 0;
  int warnings = 0;
  set_warning_sink([&](const std::string&) {
    overlaps += inside.fetch_add(1) == 0 ? 0 : 1;
    ++warnings;
    std::this_thread::yield();
    --inside;
  });
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([] {
      for (int j = 0; j < kWarnings; ++j) {
        warn("x");
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  set_warning_sink({});
  EXPECT_EQ(overlaps, 0);
  EXPECT_EQ(warnings, kThreads * kWarnings);
}

}  // namespace
}  // namespace residua::test
