#include "core/base/host_processors.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <filesystem>

#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

class Machine {
 public:
  void write(const std::string& file, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(folder_.path() + file).parent_path());
    write_bytes(folder_.path() + file, text);
  }
  int64_t limit() const { return processors_of_groups(folder_.path().c_str()); }
  int64_t all() const { return host_processors(folder_.path().c_str()); }

 private:
  TemporaryFolder folder_;
};

TEST(HostProcessors, HaveNoLimitWithoutControlGroups) {
  EXPECT_EQ(Machine().limit(), INT64_MAX);
  cpu_set_t own{};
  ASSERT_EQ(::sched_getaffinity(0, sizeof own, &own), 0);
  EXPECT_EQ(Machine().all(), CPU_COUNT(&own));
}

TEST(HostProcessors, AreThoseOfTheTightestControlGroup) {
  const Machine machine;
  machine.write("/proc/self/cgroup", "0::/jobs/one\n");
  machine.write("/sys/fs/cgroup/jobs/one/cpu.max", "max 100000\n");
  EXPECT_EQ(machine.limit(), INT64_MAX);
  machine.write("/sys/fs/cgroup/jobs/cpu.max", "300000 100000\n");
  EXPECT_EQ(machine.limit(), 3);
  machine.write("/sys/fs/cgroup/jobs/one/cpu.max", "75000 50000\n");
  EXPECT_EQ(machine.limit(), 2) << "1.5 processors";
  machine.write("/sys/fs/cgroup/jobs/one/cpu.max", "20000 100000\n");
  EXPECT_EQ(machine.limit(), 1);
  EXPECT_EQ(machine.all(), 1);
}

TEST(HostProcessors, KnowControlGroupsOfTheFirstVersion) {
  const Machine machine;
  machine.write("/proc/self/cgroup", "5:cpu,cpuacct:/docker/abc\n1:memory:/docker/abc\n");
  machine.write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  machine.write("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(machine.limit(), INT64_MAX);
  machine.write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "250000\n");
  EXPECT_EQ(machine.limit(), 3);
}

}  // namespace
}  // namespace residua::test
