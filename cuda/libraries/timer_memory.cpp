#include "cuda/libraries/timer_memory.h"

#include "core/base/warning.h"

namespace residua::cuda {

double TimerMemory::time(const std::function<double(void* memory)>& timing) {
  struct Depth {
    TimerMemory& of;
    explicit Depth(TimerMemory& memory) : of(memory) { ++of.depth_; }
    ~Depth() {
      if (--of.depth_ == 0) {
        of.memory_.reset();  // between timings, the step that is being tuned needs the memory
      }
    }
    Depth(const Depth&) = delete;
    Depth& operator=(const Depth&) = delete;
  };
  const Depth depth(*this);
  try {
    if (bytes_ > 0 && !memory_) {
      memory_.emplace(device_, bytes_);
    }
    return timing(memory_ ? memory_->data() : nullptr);
  } catch (const OutOfMemory& error) {
    if (bytes_ == 0) {
      throw;
    }
    give_up(error);
  }
  return timing(nullptr);
}

void TimerMemory::give_up(const Error& error) {
  warn("plans are timed with a warm L2 cache: {}", error.what());
  bytes_ = 0;
  memory_.reset();
}

}  // namespace residua::cuda
