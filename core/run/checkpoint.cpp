#include "core/run/checkpoint.h"

#include <charconv>
#include <filesystem>
#include <utility>

#include "core/base/error.h"
#include "core/run/run_folder.h"

namespace residua {
namespace {

constexpr const char* kStateKey = "residua.train_state";
constexpr const char* kFormatKey = "residua.checkpoint_format";

int64_t format_of(const std::string& path, const SafetensorsMetadata& metadata) {
  const auto found = metadata.find(kFormatKey);
  if (found == metadata.end()) {
    return 1;
  }
  const std::string& text = found->second;
  int64_t format = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), format);
  if (error != std::errc() || end != text.data() + text.size() || format < 1) {
    fail_usage("{}: got the checkpoint format '{}', wanted a number from 1 to {}", path, text.substr(0, 80), kCheckpointFormat);
  }
  if (format > kCheckpointFormat) {
    fail_usage("{} has checkpoint format {}, but this program reads formats up to {}: use the newer version that wrote it",
               path, format, kCheckpointFormat);
  }
  return format;
}

/// "; a new run can start from the weights in run/best.safetensors", or "" if there are none.
std::string advice(const std::string& path) {
  const std::string weights = weights_beside(path);
  return weights.empty() ? "" : "; a new run can start from the weights in " + weights;
}

Safetensors load(const std::string& path) {
  try {
    return load_safetensors(path);
  } catch (const UsageError& error) {
    fail_usage("{}{}", error.what(), advice(path));
  }
}

}  // namespace

bool is_checkpoint(const SafetensorsMetadata& metadata) { return metadata.contains(kStateKey); }

void save_checkpoint(const std::string& path, const nlohmann::json& state, std::span<const HostArrayView> arrays) {
  save_safetensors(path, arrays, {{kFormatKey, std::to_string(kCheckpointFormat)}, {kStateKey, state.dump()}});
}

Checkpoint load_checkpoint(const std::string& path) {
  Safetensors file = load(path);
  const auto state = file.metadata.find(kStateKey);
  if (state == file.metadata.end()) {
    const std::string checkpoint = (std::filesystem::path(path).parent_path() / kCheckpointFile).string();
    fail_usage("{} holds weights, not the state of a run: {}", path,
               std::filesystem::exists(checkpoint)
                   ? "resume from " + checkpoint
                   : fmt::format("resume from a {}, or start a new run from these weights", kCheckpointFile));
  }
  Checkpoint checkpoint;
  checkpoint.path = path;
  checkpoint.format = format_of(path, file.metadata);
  checkpoint.state = nlohmann::json::parse(state->second, nullptr, /*allow_exceptions=*/false);
  if (!checkpoint.state.is_object()) {
    fail_usage("{}: the run's state is damaged: not a JSON object{}", path, advice(path));
  }
  checkpoint.arrays = std::move(file.arrays);
  return checkpoint;
}

}  // namespace residua
