// How a loader reads, and what it does if a read does not end.
#include <string>

#include "core/base/error.h"
#include "core/data/loader.h"

namespace residua {

Loader::~Loader() {
  if (stuck_ || !pool_.cancel(limit())) {
    pool_.abandon([this](int64_t worker) { return scratch_[static_cast<size_t>(worker)].reading->watch.leave_behind(); });
  }
}

void Loader::read(int64_t image, const Scratch& scratch) const {
  // A stuck read may return when the loader is gone: it has its own hold on what it uses.
  const std::shared_ptr<const ImageSource> source = source_;
  const std::shared_ptr<Reading> reading = scratch.reading;
  reading->watch.during(image, [&] { source->read(image, reading->encoded); });
}

void Loader::fail_stuck() const {
  std::string names;
  for (const Scratch& scratch : scratch_) {
    if (const int64_t image = scratch.reading->watch.image(); image >= 0) {
      names += "\n  " + source_->name(image);
    }
  }
  fail("no image has been read for {} seconds, the limit of read-timeout: does the disk or the network drive answer? {}{}",
       options_.read_timeout, names.empty() ? "No file is being read now" : "These files are being read:", names);
}

}  // namespace residua
