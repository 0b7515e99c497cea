#pragma once

#include <string>
#include <vector>

#include "core/io/file_lock.h"

namespace residua::cuda {

/// What must outlive what: the end of this process, or of the machine, which takes a few milliseconds of the disk's time.
enum class Durability { process, machine };

/// A line on disk that says what this process is trying, so that another finds it when this one does not come back. The file is
/// the process's own and locked while it lives. Trials nest: the innermost one is on disk. Every call throws Error that names
/// the file and the system's reason.
class TrialRecord {
 public:
  /// Makes a file whose name begins with `prefix`. The caller holds the lock that unfinished_trials() is called under.
  explicit TrialRecord(const std::string& prefix);
  ~TrialRecord();
  TrialRecord(const TrialRecord&) = delete;
  TrialRecord& operator=(const TrialRecord&) = delete;

  void begin(const std::string& line, Durability durability);
  void end();

 private:
  void write(const std::string& line);

  FileLock file_;
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
