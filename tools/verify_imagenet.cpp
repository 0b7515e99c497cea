// verify-imagenet: reads a data set once and reports what would stop or harm a training run.
#include <fmt/format.h>

#include <algorithm>

#include "core/data/verify.h"
#include "core/distributed/connect.h"
#include "core/distributed/processors.h"
#include "core/io/atomic_file.h"
#include "tools/cli/data_command.h"
#include "tools/cli/output_file.h"
#include "tools/cli/progress.h"
#include "tools/cli/ranks.h"
#include "tools/cli/signals.h"

namespace residua {
namespace {

constexpr const char* kDescription =
    "Reads and decodes every image of a data set once and reports what is wrong with it. Exit code 0: good; 1: something would "
    "stop or harm a training run; 2: a wrong call. Under mpirun, each rank reads a part of the images, and rank 0 prints one "
    "report.";

struct Command {
  DataCommandOptions data;
  VerifyOptions verify;
  std::string json;
  int64_t shown = 10;
  double rank_timeout = kRankTimeout;
};

/// "train: 9469 images in 10 classes, 858 to 993 each".
std::string counts_of(const VerifiedSplit& split) {
  const auto [fewest, most] = std::ranges::minmax(split.images_of_class);
  return fmt::format("{}: {} images in {} classes, {} to {} each", split_name(split.split), split.images(),
                     split.images_of_class.size(), fewest, most);
}

void print(const Verification& result, int64_t shown) {
  for (const VerifiedSplit& split : result.splits) {
    fmt::print("{}\n", counts_of(split));
    for (const std::string& note : split.notes) {
      fmt::print("note: {}\n", note);
    }
  }
  if (!result.class_names.empty()) {
    fmt::print("classes: {} to {}, {}\n", result.class_names.front(), result.class_names.back(),
               result.sorted_classes() ? "sorted by name, as in torchvision's ImageFolder" : "not sorted by name");
  }
  for (const auto& [kind, text] : kEnumText<FindingKind>) {
    int64_t count = 0;
    std::string lines;
    for (const Finding& finding : result.findings) {
      if (finding.kind == kind && ++count <= shown) {
        lines += fmt::format("  {}: {}\n", finding.subject, finding.detail);
      }
    }
    if (count > 0) {
      fmt::print("{} {}: {} ({})\n{}{}", is_harmful(kind) ? "BAD" : "note", text, count, meaning(kind), lines,
                 count > shown ? fmt::format("  and {} more\n", count - shown) : "");
    }
  }
  fmt::print("{}\n", !result.complete   ? "stopped early"
                     : result.harmful() ? "this data set would harm a run: see the lines marked BAD"
                                        : "good");
}

/// Sets `signal` to that which any rank has caught, if one has.
Verification verify_with_progress(const Command& command, const std::shared_ptr<const ImageSource>& train,
                                  const std::shared_ptr<const ImageSource>& val, std::vector<Finding> unopened,
                                  Communicator& ranks, int64_t& signal) {
  const int64_t images = (train ? train->size() : 0) + (val ? val->size() : 0);
  VerifyOptions options = command.verify;
  if (!ranks.alone() && options.workers == kAutoWorkers) {
    options.workers = std::min(processors_of_rank(ranks).count, kMaxWorkers);
  }
  Progress progress(ranks.leads() ? stdout : nullptr);
  const auto show = progress.pass("verifying");
  const auto go_on = [&](int64_t done) {
    show(done, images);
    signal = largest(ranks, stop_signal());
    return signal == 0;
  };
  return verify(train, val, options, go_on, std::move(unopened), &ranks);
}

int run(const Command& command, Ranks& all) {
  if (!command.data.dataset.named()) {
    fail_setting("DIR", "nothing", "the folder of a data set");
  }
  all.launch();
  Communicator& ranks = all.connect(Device{}, command.rank_timeout);
  if (ranks.leads()) {
    check_folder_of("json", command.json);
  }
  if (command.data.dataset.name == "auto") {
    detect_source(command.data.dataset.folder);  // a folder of no known layout is a wrong call, not a finding
  }
  std::shared_ptr<const ImageSource> train;
  std::shared_ptr<const ImageSource> val;
  std::vector<Finding> unopened;
  for (const Split split : splits_of(command.data)) {
    try {
      (split == Split::train ? train : val) = open_source(command.data.dataset, split);
    } catch (const Error& error) {
      unopened.push_back(unopened_finding(split, error));
    }
  }
  catch_signals();
  int64_t signal = 0;
  const Verification result = verify_with_progress(command, train, val, std::move(unopened), ranks, signal);
  if (ranks.leads()) {
    print(result, command.shown);
  }
  if (ranks.leads() && !command.json.empty()) {
    atomic_write(command.json, to_json(result).dump(1) + "\n");
  }
  return !result.complete ? 128 + static_cast<int>(signal) : result.harmful() ? 1 : 0;
}

}  // namespace
}  // namespace residua

int main(int argc, char** argv) {
  residua::Command command;
  residua::Settings settings;
  residua::Ranks ranks;
  residua::declare(settings, command.data);
  settings.group("Verification");
  residua::declare(settings, command.verify);
  settings.text("json", command.json, "File for the report as JSON, with every finding.");
  settings.number("show", command.shown, residua::at_least(0), "Number of findings of a kind to print.");
  residua::declare_rank_timeout(settings, command.rank_timeout);
  return residua::run_tool(
      settings, "verify-imagenet", residua::kDescription, argc, argv, [&] { return residua::run(command, ranks); }, &ranks);
}
