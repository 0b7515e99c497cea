#include "cuda/libraries/trial_record.h"

#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "core/io/file_system.h"
#include "core/io/list_folder.h"

namespace residua::cuda {
namespace {

namespace fs = std::filesystem;

/// The first complete line of an open file, without its line end; empty if there is none.
std::string first_line(int descriptor) {
  std::string text;
  std::array<char, 4096> buffer{};
  ssize_t count = 0;
  while ((count = file_system().read(descriptor, buffer.data(), buffer.size(), static_cast<off_t>(text.size()))) > 0) {
    text.append(buffer.data(), static_cast<size_t>(count));
  }
  const size_t end = text.find('\n');
  return end == std::string::npos ? "" : text.substr(0, end);
}

}  // namespace

TrialRecord::TrialRecord(const std::string& prefix) : file_(FileLock::make(prefix)) {
  try {
    sync_folder(fs::path(file_.path()).parent_path().string());
  } catch (...) {
    file_system().remove(file_.path());
    throw;
  }
}

TrialRecord::~TrialRecord() { file_system().remove(file_.path()); }

void TrialRecord::begin(const std::string& line, Durability durability) {
  lines_.push_back(line);
  write(line);
  if (durability == Durability::machine && file_system().sync(file_.descriptor()) != 0) {
    fail_io("sync", file_.path(), errno);
  }
}

void TrialRecord::end() {
  lines_.pop_back();
  write(lines_.empty() ? "" : lines_.back());
}

void TrialRecord::write(const std::string& line) {
  // If the previous line was longer, its rest stays after this line's end; nobody reads it.
  const std::string text = line + "\n";
  if (const int error = write_all_at(file_.descriptor(), text.data(), text.size(), 0); error != 0) {
    fail_io("write", file_.path(), error);
  }
}

std::vector<UnfinishedTrial> unfinished_trials(const std::string& prefix) {
  std::vector<UnfinishedTrial> found;
  std::error_code none;
  for (const std::string& path : list_folder(fs::path(prefix).parent_path().string())) {
    if (!path.starts_with(prefix) || !fs::is_regular_file(fs::symlink_status(path, none))) {
      continue;
    }
    const FileLock lock = FileLock::attempt(path);
    if (lock.held()) {
      found.push_back({path, first_line(lock.descriptor())});
    }
  }
  return found;
}

}  // namespace residua::cuda
