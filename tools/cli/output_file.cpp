#include "tools/cli/output_file.h"

#include <filesystem>

#include "core/base/error.h"

namespace residua {

void check_folder_of(const char* setting, const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (!folder.empty() && !std::filesystem::is_directory(folder)) {
    fail_setting(setting, path, "a file in a folder that exists");
  }
}

}  // namespace residua
