#include "tools/cli/progress.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <array>

#include <cmath>
#include <cstdlib>
#include <limits>

#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

constexpr TrainRecord kRecord{.iteration = 1250,
                              .epoch = 3.2,
                              .loss = 1.23456,
                              .top1_error = 45.123,
                              .top5_error = 9.5,
                              .lr = 0.1,
                              .images_per_second = 2899.7,
                              .data_wait = 0.014};
constexpr const char* kLine =
    "epoch 3.20  iter 1250/5000  loss 1.2346  error 45.12 % (top-5 9.50 %)  2900 img/s  wait 1 %  lr 0.1  ETA 1:02:03";

TEST(Progress, Durations) {
  EXPECT_EQ(format_duration(0), "0:00");
  EXPECT_EQ(format_duration(59.6), "1:00");
  EXPECT_EQ(format_duration(754), "12:34");
  EXPECT_EQ(format_duration(3723), "1:02:03");
  EXPECT_EQ(format_duration(3 * 86400 + 4 * 3600 + 5 * 60), "3 d 04:05");
  for (const double odd : {std::nan(""), std::numeric_limits<double>::infinity(), -1.0}) {
    EXPECT_EQ(format_duration(odd), "?");
  }
}

TEST(Progress, TheTrainLineSaysItAll) {
  EXPECT_EQ(format_train(kRecord, 5000, 3723), kLine);
  TrainRecord slow = kRecord;
  slow.images_per_second = 7.25;
  slow.loss = std::nan("");
  EXPECT_EQ(format_train(slow, 5000, std::nan("")),
            "epoch 3.20  iter 1250/5000  loss nan  error 45.12 % (top-5 9.50 %)  7.2 img/s  wait 1 %  lr 0.1  ETA ?");
}

TEST(Progress, TheValidationLine) {
  EXPECT_EQ(format_evaluation(
                {.type = "validation", .iteration = 1560, .epoch = 4, .loss = 1.1, .top1_error = 40.3, .top5_error = 3.9}),
            "epoch 4.00  iter 1560  validation  loss 1.1000  error 40.30 % (top-5 3.90 %)");
}

TEST(Progress, TheBarGrows) {
  const auto bar = [](int64_t iteration, int64_t total) {
    TrainRecord record = kRecord;
    record.iteration = iteration;
    return format_bar(record, total, 3723, 200).substr(0, 23);
  };
  EXPECT_EQ(bar(0, 100), "[>                   ] ");
  EXPECT_EQ(bar(25, 100), "[=====>              ] ");
  EXPECT_EQ(bar(100, 100), "[====================] ");
  EXPECT_EQ(bar(7, 0), "[>                   ] ");
}

TEST(Progress, ANarrowTerminalGetsWhatMattersMost) {
  const std::string line = kLine;
  const std::string brief = "25 % loss 1.2346 error 45.12 % 2900 img/s wait 1 % lr 0.1 ETA 1:02:03";
  EXPECT_EQ(format_bar(kRecord, 5000, 3723, 200), "[=====>              ] " + line);
  EXPECT_EQ(format_bar(kRecord, 5000, 3723, 120), line);
  EXPECT_EQ(format_bar(kRecord, 5000, 3723, 79), brief);
  EXPECT_EQ(format_bar(kRecord, 5000, 3723, 60), brief.substr(0, 60));
  EXPECT_EQ(format_bar(kRecord, 5000, 3723, -1), "");
  // As long as it gets, still on a line of 80.
  TrainRecord longest = kRecord;
  longest.top1_error = 100;
  longest.images_per_second = 26000;
  longest.lr = 0.00125;
  longest.data_wait = 1;
  EXPECT_TRUE(format_bar(longest, 2500, 3723 * 24, 79).ends_with("ETA 1 d 00:49"));
}

TEST(Progress, APassOverImages) {
  EXPECT_EQ(format_pass("measuring", 0, 12000, 1281167, 12), "measuring  12000/1281167  1000 img/s  ETA 21:09");
  EXPECT_EQ(format_pass("packing train", 11000, 12000, 14000, 10), "packing train  12000/14000  100 img/s  ETA 0:20")
      << "what an earlier call has packed says nothing about the speed";
}

TEST(Progress, AFileGetsPlainLines) {
  const TemporaryFolder folder;
  std::FILE* stream = std::fopen((folder / "out").c_str(), "w");
  ASSERT_NE(stream, nullptr);
  {
    Progress progress(stream);
    progress.trained(kRecord, 5000, 3723);
    progress.note("a note");
  }
  std::fclose(stream);
  EXPECT_EQ(read_bytes(folder / "out"), std::string(kLine) + "\na note\n");
}

TEST(Progress, ATerminalKeepsOneLine) {
  const int controller = ::posix_openpt(O_RDWR | O_NOCTTY);
  if (controller < 0 || ::grantpt(controller) != 0 || ::unlockpt(controller) != 0) {
    GTEST_SKIP() << "this machine gives out no pseudo-terminals";
  }
  const int terminal = ::open(::ptsname(controller), O_RDWR | O_NOCTTY);
  ASSERT_GE(terminal, 0);
  std::FILE* stream = ::fdopen(terminal, "w");
  ASSERT_NE(stream, nullptr);
  const winsize size{.ws_row = 24, .ws_col = 40, .ws_xpixel = 0, .ws_ypixel = 0};
  ASSERT_EQ(::ioctl(controller, TIOCSWINSZ, &size), 0);
  {
    Progress progress(stream);
    progress.trained(kRecord, 5000, 3723);
    progress.note("a note");
  }
  std::fclose(stream);
  // What was written comes in one piece or in several; then an error tells that the other end is closed.
  std::string shown;
  std::array<char, 4096> piece;
  for (ssize_t count = 0; (count = ::read(controller, piece.data(), piece.size())) > 0;) {
    shown.append(piece.data(), static_cast<size_t>(count));
  }
  ::close(controller);
  const std::string bar = format_bar(kRecord, 5000, 3723, 39);
  EXPECT_EQ(shown, "\r\033[K" + bar + "\r\033[Ka note\r\n" + bar + "\r\n");
}

}  // namespace
}  // namespace residua::test
