#pragma once

#include <cstdint>
#include <string>

namespace residua {

/// What a run does with an output folder that holds one already.
enum class Existing : uint8_t { refuse, go_on };

/// A run's output folder: made where there is none, and this process's alone as long as this object lives (a lock that goes
/// with the process, however that ends; file systems without locks do without).
class RunFolder {
 public:
  /// Fails with UsageError when the folder cannot be made or written to, when another run is writing to it, and with
  /// Existing::refuse when it holds a checkpoint or weights, which a new run would overwrite. Removes the temporary files that
  /// a killed run has left.
  RunFolder(const std::string& path, Existing existing);
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;
  ~RunFolder();

 private:
  int descriptor_ = -1;
};

}  // namespace residua
