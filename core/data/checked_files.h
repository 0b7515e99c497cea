#pragma once

#include <cstdint>

namespace residua {

/// A source that keeps digests of its files, and so finds changes that no decoder notices. An ImageSource may be one.
class CheckedFiles {
 public:
  virtual ~CheckedFiles() = default;
  /// If image i is the first one of its file, compares the whole file with the digest that is stored for it. Fails with Error,
  /// which names the file, if they differ.
  virtual void check_file(int64_t i) const = 0;
};

}  // namespace residua
