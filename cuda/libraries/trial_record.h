#pragma once

#include <string>
#include <vector>

#include "core/io/file_lock.h"

namespace residua::cuda {

/// What a record must survive: the end of the process, or of the machine, which costs a few milliseconds of disk time.
enum class Durability { process, machine };

/// A line on disk that says what this process is trying, so that another process finds it if this one dies. Each process has a
/// file of its own, locked while the process lives. Trials nest; the innermost one is on disk. Every call throws Error that
/// names the file and the system's reason.
class TrialRecord {
 public:
  /// Creates a file whose name begins with `prefix`. The caller must hold the lock under which unfinished_trials() is called.
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

/// What a dead process left behind.
struct UnfinishedTrial {
  std::string file;
  std::string line;  // empty if it died between trials
};
/// The records of dead processes, among all files that begin with `prefix`. Live processes hold the locks of theirs.
std::vector<UnfinishedTrial> unfinished_trials(const std::string& prefix);

}  // namespace residua::cuda
