#pragma once

#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <string>

namespace residua::test {

/// Names of the contracts that sources name in `void run(const NAME& args, Stream& stream)`, at the start of a line.
inline std::set<std::string> contracts_in(const std::string& text) {
  static const std::regex pattern(R"(void run\(const (\w+)& args, Stream& stream\))");
  std::set<std::string> names;
  for (std::sregex_iterator i(text.begin(), text.end(), pattern), end; i != end; ++i) {
    names.insert((*i)[1]);
  }
  return names;
}

/// The same, of all files of a folder with one of the extensions.
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

/// Every contract there is: those that the headers of core/kernels declare.
inline std::set<std::string> declared_contracts() { return contracts_in_folder(RESIDUA_SOURCE_DIR "/core/kernels", {".h"}); }

}  // namespace residua::test
