#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace residua {

/// The path of a script of the folder tools.
std::string script_path(const std::string& name);

/// Starts a program, without output if `silent`. Returns 0 if the system cannot.
pid_t start_program(std::vector<std::string> words, bool silent);

/// Runs a program. Whether it started and ended with exit code 0.
bool run_program(const std::vector<std::string>& words);

}  // namespace residua
