#pragma once

namespace residua {

/// Whether this thread records operations for backward(): true unless a NoGrad lives.
bool is_recording();

/// While one lives, this thread records nothing.
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool previous_;
};

}  // namespace residua
