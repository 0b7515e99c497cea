// pack-imagenet: writes a data set as tar shards, which train-imagenet and the Python package webdataset read.
#include <fmt/format.h>

#include <utility>

#include "core/data/shards/pack.h"
#include "tools/cli/data_command.h"
#include "tools/cli/progress.h"
#include "tools/cli/ranks.h"
#include "tools/cli/signals.h"

namespace residua {
namespace {

constexpr const char* kDescription =
    "Writes the images of a data set as tar shards into OUT, in order: train-000000.tar, ..., val-000000.tar, ..., classes.txt "
    "and an index of each split. A call that was stopped continues when it is repeated.";

struct Command {
  DataCommandOptions data;
  PackOptions pack;
  std::string out;
};

/// Returns whether the split is complete.
bool pack_split(const Command& command, Split split, const ImageSource& source) {
  Progress progress(stdout);
  progress.notes(source.notes());
  const auto show = progress.pass(fmt::format("packing {}", split_name(split)));
  const PackResult result = pack(source, split, command.out, command.pack, [&](int64_t done) {
    show(done, source.size());
    return stop_signal() == 0;
  });
  progress.note(fmt::format(
      "{}: {} of {} images, {:.1f} MB, shards: {}{}{}", split_name(split), result.images, source.size(),
      static_cast<double>(result.bytes) / 1e6, result.shards,
      result.kept > 0 ? fmt::format("; {} were there already", result.kept) : "",
      command.pack.shorter_side || command.pack.turns_by_exif ? fmt::format("; {} encoded by this call", result.encoded) : ""));
  if (result.undecodable > 0) {
    progress.note(fmt::format("note: {} images cannot be decoded and are stored as they are; verify-imagenet names them",
                              result.undecodable));
  }
  return result.complete;
}

/// Data sets that need no folder leave one word, which is OUT.
void take_single_word(Command& command) {
  if (command.out.empty() && command.data.dataset.name != "auto") {
    std::swap(command.out, command.data.dataset.folder);
  }
}

int run(const Command& command, const Settings& settings) {
  check_one_process(this_launch(), "pack-imagenet");
  if (!command.data.dataset.named()) {
    fail_setting("DIR", "nothing", "the folder of a data set");
  }
  if (command.out.empty()) {
    fail_setting("OUT", "nothing", "the folder for the shards");
  }
  const bool encodes = command.pack.shorter_side || command.pack.turns_by_exif;
  if (!encodes && settings.given("quality", Layer::command_line)) {
    fail_setting("quality", fmt::format("{}", command.pack.quality),
                 "shorter-side or exif too: other images are stored as they are");
  }
  catch_signals();
  std::vector<std::pair<Split, std::shared_ptr<const ImageSource>>> sources;
  for (const Split split : splits_of(command.data)) {
    sources.emplace_back(split, open_source(command.data.dataset, split));  // all of them before hours of work
  }
  for (const auto& [split, source] : sources) {
    if (!pack_split(command, split, *source)) {
      fmt::print("stopped; repeat the command to continue\n");
      return 128 + stop_signal();
    }
  }
  return 0;
}

}  // namespace
}  // namespace residua

int main(int argc, char** argv) {
  residua::Command command;
  residua::Settings settings;
  residua::declare(settings, command.data);
  settings.text("OUT", command.out, "Folder for the shards.").positional = true;
  settings.group("Shards");
  residua::declare(settings, command.pack);
  return residua::run_tool(settings, "pack-imagenet", residua::kDescription, argc, argv, [&] {
    residua::take_single_word(command);
    return residua::run(command, settings);
  });
}
