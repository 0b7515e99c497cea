#pragma once

namespace residua {

/// Whether this thread records operations for backward(). True unless a NoGrad object exists.
bool is_recording();

/// Disables recording in this thread while an object of this class exists.
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
