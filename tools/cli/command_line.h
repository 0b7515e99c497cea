#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/config/settings.h"

namespace residua {

/// What a command line says.
struct CommandLine {
  std::vector<Assignment> given;    // setting and words, in the order of the declarations
  std::optional<std::string> text;  // what to print before stopping, where --help or --version was given
};

/// Reads a command line: each setting is the flag of its name (--weight-decay) and of its aliases (--wd, -b), and a positional
/// one stands without. A list is one word with commas, or several numbers. Fails with UsageError on flags that there are not,
/// which come in their order with the nearest known one, on a flag without a value, and on one that comes twice and is no list.
/// Values are not looked at: assign them.
CommandLine read_command_line(const Settings& settings, const std::string& program, const std::string& description, int argc,
                              const char* const* argv);

/// What a tool prints for a UsageError: "train-imagenet: --weight-decay: got '-1', wanted ...; see train-imagenet --help".
std::string worded(const UsageError& error, const Settings& settings, const std::string& program);

}  // namespace residua
