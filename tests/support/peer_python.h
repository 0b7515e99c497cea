#pragma once

#include <cstdlib>
#include <string>

namespace residua::test {

/// The Python interpreter in RESIDUA_PYTHON if it can import `modules` ("numpy, safetensors"), else "": a test that compares
/// with those packages then skips itself.
inline std::string peer_python(const std::string& modules) {
  const char* python = std::getenv("RESIDUA_PYTHON");
  if (python == nullptr || std::system((std::string(python) + " -c 'import " + modules + "' 2>/dev/null").c_str()) != 0) {
    return "";
  }
  return python;
}

}  // namespace residua::test
