#include "core/io/list_folder.h"

#include <dirent.h>

#include <filesystem>
#include <memory>
#include <string_view>

namespace residua {

// Not by std::filesystem::directory_iterator: libstdc++'s ends the program if memory runs out.
std::vector<std::string> list_folder(const std::string& folder) {
  const auto close = [](DIR* open) { ::closedir(open); };
  const std::unique_ptr<DIR, decltype(close)> open(::opendir(folder.c_str()));
  std::vector<std::string> paths;
  while (const dirent* entry = open != nullptr ? ::readdir(open.get()) : nullptr) {
    if (const std::string_view name = entry->d_name; name != "." && name != "..") {
      paths.push_back((std::filesystem::path(folder) / name).string());
    }
  }
  return paths;
}

}  // namespace residua
