#pragma once

#include <array>

#include "core/data/loader.h"
#include "core/device/device_api.h"

namespace residua {

/// Brings batches to a device while it still computes with the one before: two sets of memory there, filled in turn by the
/// device's copy queue. On the CPU device a batch is used where it lies.
class BatchUpload {
 public:
  explicit BatchUpload(Device device);

  /// The tensors of `batch` on the device, for work that is queued from now on; `batch` itself may be used again: the host
  /// waits for its copy, and so for the step before the last, while the device has the last one to do. They keep their
  /// addresses as long as batches keep their shape.
  const Batch& upload(const Batch& batch);
  /// To be called when all work that reads the batch of the last upload() is queued.
  void used();

  /// Which of the two sets the last batch is in.
  int slot() const { return slot_; }
  /// Uploads since the shape last changed.
  int64_t uploads() const { return uploads_; }

 private:
  struct Slot {
    explicit Slot(Device device) : uploaded(device), used(device) {}
    Batch batch;
    device_api::Event uploaded;
    device_api::Event used;
  };

  void lay_out(const Batch& like);

  Device device_;
  std::array<Slot, 2> slots_;
  int slot_ = 0;
  int64_t uploads_ = 0;
};

}  // namespace residua
