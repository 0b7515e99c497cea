#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/error.h"
#include "core/io/file_lock.h"

namespace residua {

/// The files of a run's folder, besides TensorBoard's.
inline constexpr const char* kCheckpointFile = "checkpoint.safetensors";
inline constexpr const char* kBestFile = "best.safetensors";
inline constexpr const char* kLastFile = "last.safetensors";
inline constexpr const char* kLogFile = "log.jsonl";
inline constexpr const char* kConfigFile = "config.toml";
inline constexpr const char* kResultFile = "result.json";

/// What a run does with an output folder that holds a run already: start refuses it, resume goes on with it, resume_or_start
/// goes on where there is a checkpoint.
enum class Existing : uint8_t { start, resume_or_start, resume };

/// The output folder holds what a new run would overwrite.
class RunExists : public UsageError {
 public:
  RunExists(const std::string& folder, const std::string& file);
  const std::string& folder() const { return folder_; }

 private:
  std::string folder_;
};

/// A run's output folder: made where there is none, and this process's alone as long as this object lives (a lock that goes
/// with the process, however that ends; file systems without locks do without).
class RunFolder {
 public:
  /// Removes the temporary files that a killed run has left. A new run renames a log that an earlier one has left. Fails with
  /// UsageError when the folder cannot be made or written to and when another run is writing to it; with RunExists when `start`
  /// finds a checkpoint or weights; and when `resume_or_start` finds weights without a checkpoint.
  RunFolder(std::string path, Existing existing);
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::string& path() const { return path_; }
  /// The path of one of its files.
  std::string file(std::string_view name) const;
  /// What was done to files that lay there, for the user; empty: nothing.
  const std::string& note() const { return note_; }

 private:
  void check_contents(Existing existing) const;
  void keep_old_log();

  std::string path_;
  std::string note_;
  std::optional<FileLock> lock_;
};

/// The name of the folder that a path leads to: its last part as written, and where that is ".", ".." or nothing, the folder's
/// own. Never empty.
std::string folder_name(const std::string& path);

/// Where a run of this model on these data writes by default: "runs/resnet20-cifar10".
std::string default_run_folder(std::string_view model, std::string_view data);

/// The folder that a checkpoint is in: where a resumed run writes, wherever the folder was when the run began.
std::string folder_of_checkpoint(const std::string& checkpoint);

/// The weights in the folder of a file, the last ones before the best; empty where there are none.
std::string weights_beside(const std::string& file);

}  // namespace residua
