#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/config/settings.h"
#include "core/data/dataset_options.h"
#include "tools/cli/ranks.h"

namespace residua {

/// What a tool reads that reads a data set without training.
struct DataCommandOptions {
  DatasetOptions dataset;
  std::string splits = "train,val";
};

/// Declares the data set and --splits.
void declare(Settings& settings, DataCommandOptions& options);

/// The splits that --splits names.
std::vector<Split> splits_of(const DataCommandOptions& options);
/// "train" or "val".
const char* split_name(Split split);

/// What main() of such a tool does: parses the command line into `settings`, and runs. Returns the exit code: that of `run`, 2
/// for a wrong call, 1 for any other error. `ranks`: those that the tool runs as, if it may be several.
int run_tool(Settings& settings, const std::string& program, const std::string& description, int argc, const char* const* argv,
             const std::function<int()>& run, Ranks* ranks = nullptr);

}  // namespace residua
