#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

namespace residua::test {

/// The names of the contracts that the text declares as `void run(const NAME& args, Stream& stream)`.
inline std::set<std::string> contracts_in(const std::string& text) {
  static const std::string before = "void run(const ";
  static const std::string after = "& args, Stream& stream)";
  std::set<std::string> names;
  for (size_t at = text.find(before); at != std::string::npos; at = text.find(before, at + 1)) {
    const size_t begin = at + before.size();
    const size_t end = std::min(text.find('&', begin), text.size());
    if (text.compare(end, after.size(), after) == 0) {
      names.insert(text.substr(begin, end - begin));
    }
  }
  return names;
}

/// The same for all files in a folder with one of the extensions.
inline std::set<std::string> contracts_in_folder(const std::string& folder, const std::set<std::string>& extensions) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (extensions.contains(entry.path().extension().string())) {
      std::ostringstream text;
      text << std::ifstream(entry.path()).rdbuf();
      names.merge(contracts_in(text.str()));
    }
  }
  return names;
}

/// The contracts that every device implements: those declared in core/kernels.
inline std::set<std::string> declared_contracts() { return contracts_in_folder(RESIDUA_SOURCE_DIR "/core/kernels", {".h"}); }

/// The same, plus the CUDA device's own contracts, declared in cuda/kernels.
inline std::set<std::string> declared_cuda_contracts() {
  std::set<std::string> names = contracts_in_folder(RESIDUA_SOURCE_DIR "/cuda/kernels", {".h"});
  names.merge(declared_contracts());
  return names;
}

}  // namespace residua::test
