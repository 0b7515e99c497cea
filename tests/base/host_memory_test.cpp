#include "core/base/host_memory.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>

#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

constexpr int64_t kMebibyte = int64_t{1} << 20;

/// A machine of 1000 MiB, of which 400 MiB are available, and a process with 25 pages in memory.
class Machine {
 public:
  Machine() {
    write("/proc/meminfo",
          "MemTotal:        1024000 kB\nMemFree:          1024 kB\nMemAvailable:     409600 kB\nSwapFree:             0 kB\n");
    write("/proc/self/statm", "100 25 10 5 0 30 0\n");
  }
  void write(const std::string& file, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(folder_.path() + file).parent_path());
    write_bytes(folder_.path() + file, text);
  }
  MemorySpace memory() const { return host_memory(folder_.path().c_str()); }

 private:
  TemporaryFolder folder_;
};

TEST(HostMemory, IsThatOfTheMachineWithoutALimit) {
  const Machine machine;
  const MemorySpace memory = machine.memory();
  EXPECT_STREQ(memory.limit, "this machine");
  EXPECT_EQ(memory.total_bytes, 1000 * kMebibyte);
  EXPECT_EQ(memory.free_bytes, 400 * kMebibyte);
  EXPECT_EQ(memory.used_bytes, 25 * ::getpagesize());
}

TEST(HostMemory, SwapIsMemoryToo) {
  const Machine machine;
  machine.write("/proc/meminfo", "MemTotal: 1024000 kB\nMemAvailable: 409600 kB\nSwapFree: 102400 kB\n");
  EXPECT_EQ(machine.memory().free_bytes, 500 * kMebibyte);
}

TEST(HostMemory, IsThatOfTheTightestControlGroup) {
  const Machine machine;
  machine.write("/proc/self/cgroup", "0::/jobs/one\n");
  const std::string jobs = "/sys/fs/cgroup/jobs";
  machine.write(jobs + "/one/memory.max", "max\n");
  machine.write(jobs + "/one/memory.current", "100\n");
  EXPECT_EQ(machine.memory().free_bytes, 400 * kMebibyte);
  machine.write(jobs + "/memory.max", std::to_string(300 * kMebibyte) + "\n");
  machine.write(jobs + "/memory.current", std::to_string(250 * kMebibyte) + "\n");
  machine.write(jobs + "/memory.stat", "anon 5\nactive_file 7\ninactive_file " + std::to_string(20 * kMebibyte) + "\n");
  const MemorySpace memory = machine.memory();
  EXPECT_STREQ(memory.limit, "the control group");
  EXPECT_EQ(memory.total_bytes, 300 * kMebibyte);
  EXPECT_EQ(memory.free_bytes, 70 * kMebibyte);
}

TEST(HostMemory, KnowsControlGroupsOfTheFirstVersion) {
  const Machine machine;
  // As in a container: the path is that outside of it.
  machine.write("/proc/self/cgroup", "5:cpu:/x\n4:memory:/outer/x\n0::/\n");
  const std::string memory_group = "/sys/fs/cgroup/memory";
  machine.write(memory_group + "/memory.limit_in_bytes", std::to_string(200 * kMebibyte) + "\n");
  machine.write(memory_group + "/memory.usage_in_bytes", std::to_string(190 * kMebibyte) + "\n");
  machine.write(memory_group + "/memory.stat",
                "inactive_file 3\ntotal_inactive_file " + std::to_string(5 * kMebibyte) + "\ntotal_active_file 9\n");
  EXPECT_EQ(machine.memory().free_bytes, 15 * kMebibyte);
  EXPECT_EQ(machine.memory().total_bytes, 200 * kMebibyte);
}

TEST(HostMemory, KnowsTheGroupsWithinThoseOfTheFirstVersion) {
  const Machine machine;
  machine.write("/proc/self/cgroup", "5:cpu:/other\n4:memory:/jobs/one\n");
  const std::string jobs = "/sys/fs/cgroup/memory/jobs";
  machine.write(jobs + "/one/memory.limit_in_bytes", std::to_string(100 * kMebibyte) + "\n");
  machine.write(jobs + "/one/memory.usage_in_bytes", std::to_string(30 * kMebibyte) + "\n");
  EXPECT_EQ(machine.memory().free_bytes, 70 * kMebibyte);
  EXPECT_EQ(machine.memory().total_bytes, 100 * kMebibyte);
  machine.write(jobs + "/memory.limit_in_bytes", std::to_string(90 * kMebibyte) + "\n");
  machine.write(jobs + "/memory.usage_in_bytes", std::to_string(40 * kMebibyte) + "\n");
  EXPECT_EQ(machine.memory().free_bytes, 50 * kMebibyte);
}

TEST(HostMemory, AGroupWithoutALimitIsNone) {
  const Machine machine;
  machine.write("/proc/meminfo", "MemTotal: 1024000 kB\nMemAvailable: 409600 kB\nSwapFree: 102400 kB\n");
  machine.write("/proc/self/cgroup", "4:memory:/\n");
  machine.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  machine.write("/sys/fs/cgroup/memory/memory.usage_in_bytes", "4096\n");
  EXPECT_STREQ(machine.memory().limit, "this machine");
  EXPECT_EQ(machine.memory().free_bytes, 500 * kMebibyte);
}

TEST(HostMemory, TheSwapOfTheMachineIsNotThatOfAGroup) {
  const Machine machine;
  machine.write("/proc/meminfo", "MemTotal: 1024000 kB\nMemAvailable: 409600 kB\nSwapFree: 102400 kB\n");
  machine.write("/proc/self/cgroup", "0::/\n");
  machine.write("/sys/fs/cgroup/memory.max", std::to_string(300 * kMebibyte) + "\n");
  machine.write("/sys/fs/cgroup/memory.current", std::to_string(200 * kMebibyte) + "\n");
  EXPECT_EQ(machine.memory().free_bytes, 100 * kMebibyte);
}

TEST(HostMemory, MoreUsedThanAllowedIsNoneFree) {
  const Machine machine;
  machine.write("/proc/self/cgroup", "0::/\n");
  machine.write("/sys/fs/cgroup/memory.max", "1000\n");
  machine.write("/sys/fs/cgroup/memory.current", "2000\n");
  EXPECT_EQ(machine.memory().free_bytes, 0);
}

TEST(HostMemory, OfASystemThatTellsNothingIsUnknown) {
  const TemporaryFolder empty;
  const MemorySpace memory = host_memory(empty.path().c_str());
  EXPECT_EQ(memory.free_bytes, INT64_MAX);
  EXPECT_EQ(describe_shortage(5 * kMebibyte, memory), "5 MiB wanted, 0 MiB in use by this program");
}

TEST(HostMemory, ALimitOfTheAddressSpaceCounts) {
  const MemorySpace free_space = host_memory();
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_AS, &before), 0);
  if (before.rlim_cur != RLIM_INFINITY || free_space.total_bytes == 0) {
    GTEST_SKIP() << "there is a limit already, or no /proc";
  }
  rlimit limited = before;
  limited.rlim_cur = static_cast<rlim_t>(free_space.used_bytes + (int64_t{1} << 46));
  ASSERT_EQ(::setrlimit(RLIMIT_AS, &limited), 0);
  const MemorySpace wide = host_memory();
  limited.rlim_cur = 64 << 20;  // less than is mapped
  ASSERT_EQ(::setrlimit(RLIMIT_AS, &limited), 0);
  const MemorySpace tight = host_memory();
  ASSERT_EQ(::setrlimit(RLIMIT_AS, &before), 0);
  EXPECT_STRNE(wide.limit, "ulimit -v");
  EXPECT_STREQ(tight.limit, "ulimit -v");
  EXPECT_EQ(tight.free_bytes, 0);
  EXPECT_EQ(tight.total_bytes, 64 << 20);
}

TEST(HostMemory, AShortageRoundsAgainstTheWanted) {
  const MemorySpace memory{
      .used_bytes = 3 * kMebibyte, .free_bytes = 2 * kMebibyte - 1, .total_bytes = 8 * kMebibyte, .limit = "ulimit -v"};
  EXPECT_EQ(describe_shortage(2 * kMebibyte, memory),
            "2 MiB wanted, 3 MiB in use by this program, 1 MiB free of 8 MiB (ulimit -v)");
  EXPECT_EQ(describe_shortage(0, memory), "3 MiB in use by this program, 1 MiB free of 8 MiB (ulimit -v)");
}

}  // namespace
}  // namespace residua::test
