#include "core/run/run_folder.h"

#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "core/io/atomic_file.h"
#include "core/io/file_system.h"
#include "core/io/list_folder.h"
#include "core/run/checkpoint.h"
#include "core/run/tensorboard.h"

namespace residua {
namespace {

namespace fs = std::filesystem;

bool exists(const std::string& path) {
  std::error_code none;
  return fs::exists(path, none);
}

}  // namespace

RunExists::RunExists(const std::string& folder, const std::string& file)
    : UsageError("output", folder,
                 fmt::format("a folder without a run: it already holds one ({}); set resume to auto to continue it, set "
                             "overwrite to replace it, or choose another output for a new run",
                             file)),
      folder_(folder) {}

RunFolder::RunFolder(std::string path, Existing existing) : path_(std::move(path)) {
  const bool made = file_system().make_folders(path_) == 0;
  const int error = errno;
  if (!fs::is_directory(path_)) {
    fail_usage("cannot create the output folder {}: {}; choose another output", path_,
               made ? "a file of that name exists" : std::system_category().message(error));
  }
  if (::access(path_.c_str(), W_OK | X_OK) != 0) {
    fail_usage("cannot write to the output folder {}: {}; choose another output", path_, std::system_category().message(errno));
  }
  check_contents(existing);
  lock_.emplace(FileLock::claim(file(kLockFile)));
  if (lock_->busy()) {
    fail_usage("another run is writing to {} ({}): wait until it ends, or choose another output", path_,
               lock_->holder().empty() ? "unknown" : lock_->holder());
  }
  remove_temporary_files(path_);
  if (existing == Existing::overwrite) {
    remove_run();
  }
  if (existing == Existing::start || (existing == Existing::resume_or_start && !has_checkpoint())) {
    keep_old_log();
    remove_old_evaluation();
  }
}

std::string RunFolder::file(std::string_view name) const { return (fs::path(path_) / name).string(); }

bool RunFolder::has_checkpoint() const { return !checkpoints_in(path_).empty(); }

void RunFolder::check_contents(Existing existing) const {
  if (existing == Existing::start) {
    std::vector<std::string> found = checkpoints_in(path_);
    for (const char* name : {kBestFile, kLastFile}) {
      if (exists(file(name))) {
        found.emplace_back(name);
      }
    }
    if (!found.empty()) {
      throw RunExists(path_, fs::path(found.front()).filename().string());
    }
  }
  const std::string weights = weights_beside(file(kLastFile));
  if (existing == Existing::resume_or_start && !has_checkpoint() && !weights.empty()) {
    fail_usage(
        "{} holds the weights of a run but no checkpoint to resume from: start a new run from them, with weights {} and "
        "another "
        "output, or move them out of the folder",
        path_, weights);
  }
}

void RunFolder::remove_run() {
  std::vector<std::string> files = checkpoints_in(path_);
  for (const char* name : {kBestFile, kLastFile, kLogFile, kConfigFile, kRunFile, kResultFile, kEvaluationFile, "curves.png",
                           "curves.svg", "report.html"}) {
    files.push_back(file(name));
  }
  for (const std::string& path : list_folder(path_)) {
    if (fs::path(path).filename().string().starts_with(kEventFilePrefix)) {
      files.push_back(path);
    }
  }
  for (const std::string& path : list_folder(file(kWorstFolder))) {
    const std::string stem = fs::path(path).stem().string();
    if (fs::path(path).extension() == ".png" && stem.find_first_not_of("0123456789") == std::string::npos) {
      files.push_back(path);
    }
  }
  size_t removed = 0;
  for (const std::string& path : files) {
    if (exists(path)) {
      if (file_system().remove(path) != 0) {
        fail_io("remove", path, errno);
      }
      ++removed;
    }
  }
  if (removed > 0) {
    note_ = fmt::format("removed the run that was in {}: {} files", path_, removed);
  }
}

void RunFolder::keep_old_log() {
  std::error_code none;
  const std::string log = file(kLogFile);
  if (fs::file_size(log, none) == 0 || none) {
    return;
  }
  std::string kept;
  for (int number = 1; kept.empty() || exists(kept); ++number) {
    kept = file(fmt::format("{}-{}{}", fs::path(kLogFile).stem().string(), number, fs::path(kLogFile).extension().string()));
  }
  if (file_system().rename(log, kept) != 0) {
    fail_io("rename", log, errno);
  }
  note_ = fmt::format("{} held the log of a run without a checkpoint; it is now {}, and a new run starts", path_, kept);
}

void RunFolder::remove_old_evaluation() const {
  const std::string evaluation = file(kEvaluationFile);
  if (exists(evaluation) && file_system().remove(evaluation) != 0) {
    fail_io("remove", evaluation, errno);
  }
}

std::string folder_name(const std::string& path) {
  const auto without_ends = [](fs::path given) {
    while (given.has_relative_path() && (given.filename().empty() || given.filename() == ".")) {
      given = given.parent_path();
    }
    return given;
  };
  fs::path given = without_ends(path);
  std::error_code none;
  if (given.filename().empty() || given.filename() == "..") {
    given = without_ends(fs::weakly_canonical(fs::absolute(given.empty() ? "." : given), none));
  }
  const std::string name = given.filename().string();
  return name.empty() || name == ".." ? "data" : name;
}

std::string default_run_folder(std::string_view model, std::string_view data) { return fmt::format("runs/{}-{}", model, data); }

std::string folder_of_checkpoint(const std::string& checkpoint) {
  const std::string folder = fs::path(checkpoint).parent_path().string();
  return folder.empty() ? "." : folder;
}

std::string weights_beside(const std::string& file) {
  for (const char* name : {kLastFile, kBestFile}) {
    if (const std::string weights = (fs::path(file).parent_path() / name).string(); exists(weights)) {
      return weights;
    }
  }
  return "";
}

}  // namespace residua
