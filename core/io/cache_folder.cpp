#include "core/io/cache_folder.h"

#include <cstdlib>

namespace residua {

std::string cache_folder() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache == '/') {
    return std::string(cache) + "/residua";
  }
  if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/') {
    return std::string(home) + "/.cache/residua";
  }
  return "";
}

}  // namespace residua
