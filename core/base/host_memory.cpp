#include "core/base/host_memory.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <string_view>

#include "core/base/system_file.h"

namespace residua {
namespace {

constexpr int64_t kMebibyte = int64_t{1} << 20;

void tighten(MemorySpace& space, const MemorySpace& other) {
  if (other.free_bytes < space.free_bytes) {
    space = other;
  }
}

/// Takes in the limits of the control group and of those around it. Of the files that count as used, the inactive ones can go.
/// The group's swap does not count as free: it may not get any.
void tighten_by_groups(MemorySpace& space, int64_t resident, const char* root) {
  const SystemFile groups(root, "/proc/self/cgroup");
  const int64_t machine = space.total_bytes > 0 ? space.total_bytes : INT64_MAX;
  const auto tighten_by = [&](const SystemFile& limit, const SystemFile& used, const SystemFile& stat,
                              std::string_view inactive) {
    // Above the machine's memory, it is no limit: a group of version 1 without one has a huge number.
    if (const auto most = limit.number(); most && used.number() && *most < machine) {
      const int64_t left = *most - *used.number() + stat.number(inactive).value_or(0);
      tighten(space, {.used_bytes = resident,
                      .free_bytes = std::max<int64_t>(left, 0),
                      .total_bytes = *most,
                      .limit = "the control group"});
    }
  };
  for_each_group("/sys/fs/cgroup", group_of(groups.text(), "0::"), [&](std::string_view mount, std::string_view path) {
    tighten_by(SystemFile(root, mount, path, "/memory.max"), SystemFile(root, mount, path, "/memory.current"),
               SystemFile(root, mount, path, "/memory.stat"), "inactive_file");
  });
  for_each_group("/sys/fs/cgroup/memory", group_of(groups.text(), ":memory:"),
                 [&](std::string_view mount, std::string_view path) {
                   tighten_by(SystemFile(root, mount, path, "/memory.limit_in_bytes"),
                              SystemFile(root, mount, path, "/memory.usage_in_bytes"),
                              SystemFile(root, mount, path, "/memory.stat"), "total_inactive_file");
                 });
}

}  // namespace

MemorySpace host_memory(const char* root) noexcept {
  const SystemFile statm(root, "/proc/self/statm");
  const SystemFile meminfo(root, "/proc/meminfo");
  const int64_t page = ::sysconf(_SC_PAGESIZE);
  const std::string_view pages = statm.text();
  int64_t mapped = 0;
  int64_t resident = 0;
  const auto [end, error] = std::from_chars(pages.data(), pages.data() + pages.size(), mapped);
  if (error == std::errc{} && end < pages.data() + pages.size()) {
    std::from_chars(end + 1, pages.data() + pages.size(), resident);
  }
  const int64_t swap = meminfo.number("SwapFree:").value_or(0) * 1024;
  MemorySpace space{.used_bytes = resident * page};
  if (const auto available = meminfo.number("MemAvailable:")) {
    space.free_bytes = *available * 1024 + swap;
    space.total_bytes = meminfo.number("MemTotal:").value_or(0) * 1024;
    space.limit = "this machine";
  }
  tighten_by_groups(space, resident * page, root);
  rlimit address_space{};
  if (::getrlimit(RLIMIT_AS, &address_space) == 0 && address_space.rlim_cur != RLIM_INFINITY && mapped > 0) {
    const auto most = static_cast<int64_t>(address_space.rlim_cur);
    tighten(space, {.used_bytes = mapped * page,
                    .free_bytes = std::max<int64_t>(most - mapped * page, 0),
                    .total_bytes = most,
                    .limit = "ulimit -v"});
  }
  return space;
}

std::string describe_shortage(int64_t wanted_bytes, const MemorySpace& memory) {
  std::string text;
  if (wanted_bytes > 0) {
    text = fmt::format("{} MiB wanted, ", (wanted_bytes + kMebibyte - 1) / kMebibyte);
  }
  text += fmt::format("{} MiB in use by this program", memory.used_bytes / kMebibyte);
  if (memory.total_bytes > 0) {
    text += fmt::format(", {} MiB free of {} MiB ({})", memory.free_bytes / kMebibyte, memory.total_bytes / kMebibyte,
                        memory.limit);
  }
  return text;
}

}  // namespace residua
