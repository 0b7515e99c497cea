#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/config/settings.h"
#include "core/data/source.h"

namespace residua {

/// The settings that name a data set, of the tools that read one without training.
struct DataSetOptions {
  std::string folder;
  std::string dataset = "auto";
  Kinds<SourceKind> kinds = {};  // with their own options
  std::string splits = "train,val";
};

/// Declares DIR, --dataset, --splits and the options of the sources.
void declare(Settings& settings, DataSetOptions& options);

/// The splits that --splits names.
std::vector<Split> splits_of(const DataSetOptions& options);
/// "train" or "val".
const char* split_name(Split split);
std::shared_ptr<const ImageSource> open_source(const DataSetOptions& options, Split split);

/// What main() of such a tool does: parses the command line into `settings`, and runs. Returns the exit code: that of `run`, 2
/// for a wrong call, 1 for any other error.
int run_tool(Settings& settings, const std::string& program, const std::string& description, int argc, const char* const* argv,
             const std::function<int()>& run);

}  // namespace residua
