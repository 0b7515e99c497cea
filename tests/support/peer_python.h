#pragma once

#include <cstdlib>
#include <string>

namespace residua::test {

/// The Python interpreter that RESIDUA_PYTHON names, if it can import `modules` ("numpy, safetensors"); otherwise "", and the
/// test that compares against those packages skips itself.
inline std::string peer_python(const std::string& modules) {
  const char* python = std::getenv("RESIDUA_PYTHON");
  if (python == nullptr || std::system((std::string(python) + " -c 'import " + modules + "' 2>/dev/null").c_str()) != 0) {
    return "";
  }
  return python;
}

}  // namespace residua::test
