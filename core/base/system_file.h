#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

namespace residua {

/// The start of a small file of the system, in memory of its own: std::ifstream would allocate.
class SystemFile {
 public:
  template <class... Parts>
  explicit SystemFile(const Parts&... parts) {
    std::array<char, 4096> path{};
    size_t length = 0;
    const auto append = [&](std::string_view part) { length += part.copy(path.data() + length, path.size() - 1 - length); };
    (append(parts), ...);
    const int descriptor = ::open(path.data(), O_RDONLY | O_CLOEXEC);
    if (descriptor >= 0) {
      size_ = std::max<ssize_t>(::read(descriptor, text_.data(), text_.size()), 0);
      ::close(descriptor);
    }
  }

  std::string_view text() const { return {text_.data(), static_cast<size_t>(size_)}; }

  /// The number behind the first `key`, at the start of a line; nothing if there is none.
  std::optional<int64_t> number(std::string_view key = "") const {
    size_t at = text().starts_with(key) ? 0 : std::string_view::npos;
    for (size_t line = text().find('\n'); at == std::string_view::npos && line != std::string_view::npos;
         line = text().find('\n', line + 1)) {
      at = text().substr(line + 1).starts_with(key) ? line + 1 : at;
    }
    if (at == std::string_view::npos) {
      return {};
    }
    const std::string_view rest = text().substr(at + key.size());
    const size_t start = std::min(rest.find_first_not_of(" \t"), rest.size());
    int64_t value = 0;
    const auto [end, error] = std::from_chars(rest.data() + start, rest.data() + rest.size(), value);
    return error == std::errc{} ? std::optional(value) : std::nullopt;
  }

 private:
  std::array<char, 8192> text_;
  ssize_t size_ = 0;
};

/// The path of the process's control group in the hierarchy whose line in /proc/self/cgroup contains `controller`.
inline std::string_view group_of(std::string_view groups, std::string_view controller) {
  const size_t at = groups.find(controller);
  const size_t start = at == std::string_view::npos ? groups.size() : at + controller.size();
  return groups.substr(start, groups.find('\n', start) - start);
}

/// Calls visit(mount, path) for a control group and those around it. Within a container, the path may be that outside of it;
/// the container's own group is then the root of what is seen.
template <class Visit>
void for_each_group(std::string_view mount, std::string_view path, const Visit& visit) {
  for (;;) {
    visit(mount, path);
    if (path.empty()) {
      return;
    }
    path = path.substr(0, path.rfind('/'));
  }
}

}  // namespace residua
