#include "tools/cli/data_command.h"

#include <iostream>

#include "core/base/error.h"
#include "tools/cli/command_line.h"
#include "tools/cli/run_program.h"

namespace residua {

void declare(Settings& s, DataSetOptions& o) {
  s.group("Data set");
  s.text("DIR", o.folder, "Folder of the data set.").positional = true;
  s.choice("dataset", o.dataset, source_names(), "Layout of the folder; auto detects it.");
  s.choice("splits", o.splits, {"train,val", "train", "val"}, "The splits to read.");
  o.kinds.declare(s);
}

std::vector<Split> splits_of(const DataSetOptions& options) {
  if (options.splits == "train,val") {
    return {Split::train, Split::val};
  }
  return {options.splits == "train" ? Split::train : Split::val};
}

const char* split_name(Split split) { return split == Split::train ? "train" : "val"; }

std::shared_ptr<const ImageSource> open_source(const DataSetOptions& options, Split split) {
  return open_source(options.kinds, options.dataset, options.folder, split);
}

int run_tool(Settings& settings, const std::string& program, const std::string& description, int argc, const char* const* argv,
             const std::function<int()>& run) {
  const auto parse_and_run = [&] {
    const CommandLine line = read_command_line(settings, program, description, argc, argv);
    if (line.text) {
      std::cout << *line.text;
      return 0;
    }
    for (const Assignment& given : line.given) {
      settings.assign(given.key, given.words, Layer::command_line);
    }
    return run();
  };
  return run_program(program, parse_and_run, [&](const UsageError& error) { return worded(error, settings, program); });
}

}  // namespace residua
