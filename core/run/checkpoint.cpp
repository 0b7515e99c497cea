#include "core/run/checkpoint.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <functional>
#include <optional>
#include <utility>

#include "core/base/error.h"
#include "core/base/join.h"
#include "core/io/file_system.h"
#include "core/io/list_folder.h"
#include "core/io/safetensors_digest.h"
#include "core/run/run_folder.h"

namespace residua {
namespace {

namespace fs = std::filesystem;

constexpr const char* kStateKey = "residua.train_state";
constexpr const char* kFormatKey = "residua.checkpoint_format";
constexpr int64_t kFirstFormatWithDigest = 3;
constexpr std::string_view kPrefix = "checkpoint-";
constexpr std::string_view kSuffix = ".safetensors";

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

/// The iteration in the name of a checkpoint.
std::optional<int64_t> iteration_in_name(const std::string& path) {
  const std::string name = fs::path(path).filename().string();
  if (name.size() <= kPrefix.size() + kSuffix.size() || !name.starts_with(kPrefix) || !name.ends_with(kSuffix)) {
    return {};
  }
  int64_t iteration = 0;
  const char* last = name.data() + name.size() - kSuffix.size();
  const auto [end, error] = std::from_chars(name.data() + kPrefix.size(), last, iteration);
  return error == std::errc() && end == last && iteration >= 0 ? std::optional(iteration) : std::nullopt;
}

[[noreturn]] void fail_with_weights(const std::string& path) {
  const std::vector<std::string> checkpoints = checkpoints_in(folder_of_checkpoint(path));
  fail_usage("{} holds weights, not the state of a run: {}", path,
             !checkpoints.empty() ? "resume from " + checkpoints.front()
                                  : "resume from a checkpoint, or start a new run from these weights");
}

/// The checkpoint, with no advice in its errors.
Checkpoint read_checkpoint(const std::string& path) {
  const bool has_digest = fs::is_regular_file(path) && check_digest(path);
  Checkpoint checkpoint{load_safetensors(path)};
  const auto state = checkpoint.metadata.find(kStateKey);
  if (state == checkpoint.metadata.end()) {
    fail_with_weights(path);
  }
  checkpoint.format = format_of(path, checkpoint.metadata);
  if (checkpoint.format >= kFirstFormatWithDigest && !has_digest) {
    fail_usage("{} is damaged: it lacks the digest of its bytes", path);
  }
  checkpoint.state = nlohmann::json::parse(state->second, nullptr, /*allow_exceptions=*/false);
  if (!checkpoint.state.is_object()) {
    fail_usage("{}: the run's state is damaged: not a JSON object", path);
  }
  const std::optional<int64_t> named = iteration_in_name(path);
  if (named && checkpoint.state.value("iteration", nlohmann::json()) != *named) {
    fail_usage("{} is not what its name says: it was made at iteration {}", path,
               checkpoint.state.value("iteration", nlohmann::json()).dump());
  }
  return checkpoint;
}

}  // namespace

bool is_checkpoint(const SafetensorsMetadata& metadata) { return metadata.contains(kStateKey); }

void save_checkpoint(const std::string& path, const nlohmann::json& state, std::span<const HostArrayView> arrays,
                     const SafetensorsMetadata& metadata) {
  SafetensorsMetadata all = metadata;
  all[kFormatKey] = std::to_string(kCheckpointFormat);
  all[kStateKey] = state.dump();
  save_with_digest(path, arrays, std::move(all));
}

Checkpoint load_checkpoint(const std::string& path) {
  try {
    return read_checkpoint(path);
  } catch (const UsageError& error) {
    fail_usage("{}{}", error.what(), advice(path));
  }
}

std::string checkpoint_name(int64_t iteration) { return fmt::format("{}{}{}", kPrefix, iteration, kSuffix); }

std::vector<std::string> checkpoints_in(const std::string& folder) {
  std::vector<std::pair<int64_t, std::string>> found;
  for (const std::string& path : list_folder(folder)) {
    if (const std::optional<int64_t> iteration = iteration_in_name(path)) {
      found.emplace_back(*iteration, path);
    } else if (fs::path(path).filename() == kOldCheckpointFile) {
      found.emplace_back(-1, path);
    }
  }
  std::ranges::sort(found, std::greater());
  std::vector<std::string> paths;
  for (auto& [iteration, path] : found) {
    paths.push_back(std::move(path));
  }
  return paths;
}

FoundCheckpoint find_checkpoint(const std::string& folder) {
  FoundCheckpoint found;
  for (const std::string& path : checkpoints_in(folder)) {
    try {
      read_checkpoint(path);
      found.path = path;
      return found;
    } catch (const Error& error) {
      found.passed_over.emplace_back(error.what());
    }
  }
  if (!found.passed_over.empty()) {
    fail_usage("{} has no checkpoint that can be read: {}{}", folder, join(found.passed_over, "; "),
               advice((fs::path(folder) / kOldCheckpointFile).string()));
  }
  return found;
}

void remove_other_checkpoints(const std::string& folder, std::span<const std::string> kept) {
  for (const std::string& path : checkpoints_in(folder)) {
    if (std::ranges::find(kept, fs::path(path).filename().string()) == kept.end() && file_system().remove(path) != 0) {
      fail_io("remove", path, errno);
    }
  }
}

}  // namespace residua
