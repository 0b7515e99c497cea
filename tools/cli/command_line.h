#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/config/settings.h"

namespace residua {

/// A parsed command line.
struct CommandLine {
  std::vector<Assignment> given;    // settings and their words, in declaration order
  std::optional<std::string> text;  // the text to print before exiting, if --help or --version was given
};

/// Parses a command line. Each setting is a flag with its name (--weight-decay) or an alias (--wd, -b), or a positional
/// argument. A list is one word with commas, or several numbers. Fails with UsageError on unknown flags, for which it suggests
/// similar ones; on a flag without a value; and on a flag given twice, unless it is a list. Does not check values; assigning
/// them does.
CommandLine read_command_line(const Settings& settings, const std::string& program, const std::string& description, int argc,
                              const char* const* argv);

/// The message that a tool prints for a UsageError: "train-imagenet: --weight-decay: got '-1', wanted ...; see train-imagenet
/// --help".
std::string worded(const UsageError& error, const Settings& settings, const std::string& program);

}  // namespace residua
