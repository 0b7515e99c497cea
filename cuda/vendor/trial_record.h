#pragma once

#include <string>
#include <vector>

namespace residua::cuda {

/// Holds the lock of a file, which is made where there is none, while it lives. Waits for other holders.
class FileLock {
 public:
  explicit FileLock(const std::string& path);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int descriptor_;
};

/// What must outlive what: the end of this process, or of the machine, which takes a few milliseconds of the disk's time.
enum class Durability { process, machine };

/// A line on disk that says what this process is trying, so that another finds it when this one does not come back. The file is
/// the process's own and locked while it lives. Trials nest: the innermost one is on disk. Every call throws Error that names
/// the file and the system's reason.
class TrialRecord {
 public:
  /// Makes a file PREFIX + six letters. The caller holds the lock that unfinished_trials() is called under.
  explicit TrialRecord(const std::string& prefix);
  ~TrialRecord();
  TrialRecord(const TrialRecord&) = delete;
  TrialRecord& operator=(const TrialRecord&) = delete;

  void begin(const std::string& line, Durability durability);
  void end();

 private:
  void write(const std::string& line);

  std::string path_;
  int descriptor_ = -1;
  std::vector<std::string> lines_;
};

/// What a process that has ended left behind.
struct UnfinishedTrial {
  std::string file;
  std::string line;  // empty: it ended between trials
};
/// The records of processes that have ended, of all files that begin with `prefix`. Those that live hold their locks.
std::vector<UnfinishedTrial> unfinished_trials(const std::string& prefix);

}  // namespace residua::cuda
