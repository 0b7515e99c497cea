#include "tools/cli/data_command.h"

#include <iostream>

#include "core/base/error.h"
#include "tools/cli/command_line.h"
#include "tools/cli/run_program.h"

namespace residua {

void declare(Settings& s, DataCommandOptions& o) {
  s.group("Data set");
  declare(s, o.dataset);
  s.choice("splits", o.splits, {"train,val", "train", "val"}, "The splits to read.");
}

std::vector<Split> splits_of(const DataCommandOptions& options) {
  if (options.splits == "train,val") {
    return {Split::train, Split::val};
  }
  return {options.splits == "train" ? Split::train : Split::val};
}

const char* split_name(Split split) { return split == Split::train ? "train" : "val"; }

int run_tool(Settings& settings, const std::string& program, const std::string& description, int argc, const char* const* argv,
             const std::function<int()>& run, Ranks* several) {
  Ranks one;
  Ranks& ranks = several != nullptr ? *several : one;
  const auto parse_and_run = [&] {
    const CommandLine line = read_command_line(settings, program, description, argc, argv);
    if (line.text) {
      std::cout << *line.text;
      return 0;
    }
    for (const Assignment& given : line.given) {
      settings.assign(given.key, given.words, Layer::command_line);
    }
    return ranks.run(run);
  };
  const int code = run_program(
      program, parse_and_run, [&](const UsageError& error) { return worded(error, settings, program); }, ranks.prefix());
  ranks.end(code);
  return code;
}

}  // namespace residua
