#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/base/error.h"
#include "core/io/file_lock.h"

namespace residua {

/// The files in a run's folder, besides its checkpoints (core/run/checkpoint.h) and TensorBoard's.
inline constexpr const char* kBestFile = "best.safetensors";
inline constexpr const char* kLastFile = "last.safetensors";
inline constexpr const char* kLogFile = "log.jsonl";
inline constexpr const char* kConfigFile = "config.toml";
inline constexpr const char* kRunFile = "run.json";
inline constexpr const char* kResultFile = "result.json";
inline constexpr const char* kEvaluationFile = "evaluation.json";
inline constexpr const char* kWorstFolder = "worst";
inline constexpr const char* kLockFile = "run.lock";

/// What to do if the output folder already holds a run. start: fail. resume: continue it. resume_or_start: continue it if there
/// is a checkpoint. overwrite: remove it.
enum class Existing : uint8_t { start, resume_or_start, resume, overwrite };

/// The output folder holds files that a new run would overwrite.
class RunExists : public UsageError {
 public:
  RunExists(const std::string& folder, const std::string& file);
  const std::string& folder() const { return folder_; }

 private:
  std::string folder_;
};

/// A run's output folder. Creates it if needed, and holds an exclusive lock on its file run.lock while this object lives; the
/// file names the holder. The lock ends with the process, even if it is killed. On file systems without locks there is none.
class RunFolder {
 public:
  /// Removes temporary files left by a killed run. A new run renames the log of an earlier one, and removes its evaluation.
  /// `overwrite` removes all files that runs write, and no others. Fails with UsageError if the folder cannot be created or
  /// written to, if another run is writing to it, or if `resume_or_start` finds weights without a checkpoint. Fails with
  /// RunExists if `start` finds a checkpoint or weights.
  RunFolder(std::string path, Existing existing);
  /// The folder of a run whose files another process writes.
  explicit RunFolder(std::string path) : path_(std::move(path)), writes_(false) {}
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::string& path() const { return path_; }
  /// The path of a file in the folder.
  std::string file(std::string_view name) const;
  /// Whether this process writes the run's files.
  bool writes() const { return writes_; }
  /// A note for the user on what was done to existing files; empty if nothing was.
  const std::string& note() const { return note_; }

 private:
  void check_contents(Existing existing) const;
  bool has_checkpoint() const;
  void keep_old_log();
  void remove_run();
  void remove_old_evaluation() const;

  std::string path_;
  bool writes_ = true;
  std::string note_;
  std::optional<FileLock> lock_;
};

/// The name of the folder at a path: the last component as written or, if that is ".", ".." or empty, of the resolved path.
/// Never empty.
std::string folder_name(const std::string& path);

/// The default output folder for a model and a data set: "runs/resnet20-cifar10".
std::string default_run_folder(std::string_view model, std::string_view data);

/// The folder of a checkpoint. A resumed run writes there, even if the folder has been moved.
std::string folder_of_checkpoint(const std::string& checkpoint);

/// The weights file beside a file: the last weights or, if there are none, the best; empty if there are neither.
std::string weights_beside(const std::string& file);

}  // namespace residua
