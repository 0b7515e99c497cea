#include "core/base/host_processors.h"

#include <sched.h>

#include "core/base/system_file.h"

namespace residua {
namespace {

int64_t bound_processors() {
  std::array<cpu_set_t, 64> set{};  // 65536 processors
  return ::sched_getaffinity(0, sizeof set, set.data()) == 0 ? CPU_COUNT_S(sizeof set, set.data()) : 1;
}

/// Takes in a limit of `quota` microseconds in each `period`.
void tighten(int64_t& most, std::optional<int64_t> quota, std::optional<int64_t> period) {
  if (quota && period && *quota > 0 && *period > 0) {
    most = std::min(most, (*quota + *period - 1) / *period);
  }
}

}  // namespace

int64_t processors_of_groups(const char* root) {
  const SystemFile groups(root, "/proc/self/cgroup");
  int64_t most = INT64_MAX;
  for_each_group("/sys/fs/cgroup", group_of(groups.text(), "0::"), [&](std::string_view mount, std::string_view path) {
    const SystemFile limit(root, mount, path, "/cpu.max");  // "150000 100000", or "max 100000"
    const size_t space = std::min(limit.text().find(' '), limit.text().size());
    tighten(most, limit.number(), limit.number(limit.text().substr(0, space)));
  });
  for (const std::string_view controller : {":cpu,cpuacct:", ":cpu:"}) {
    for_each_group("/sys/fs/cgroup/cpu", group_of(groups.text(), controller),
                   [&](std::string_view mount, std::string_view path) {
                     tighten(most, SystemFile(root, mount, path, "/cpu.cfs_quota_us").number(),
                             SystemFile(root, mount, path, "/cpu.cfs_period_us").number());
                   });
  }
  return most;
}

int64_t host_processors(const char* root) { return std::clamp<int64_t>(bound_processors(), 1, processors_of_groups(root)); }

}  // namespace residua
