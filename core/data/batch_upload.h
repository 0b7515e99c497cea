#pragma once

#include <array>

#include "core/data/loader.h"
#include "core/device/device_api.h"

namespace residua {

/// Uploads batches to a device while it still computes on the previous one. There are two sets of device memory, which the copy
/// stream fills in turn. On the CPU device a batch is used in place.
class BatchUpload {
 public:
  explicit BatchUpload(Device device);

  /// Returns the tensors of `batch` on the device, for work queued from now on. When it returns, `batch` may be reused: the
  /// host has waited for the copy, and thus for the step before the last, while the device works on the last one. The tensors
  /// keep their addresses as long as batches keep their shape.
  const Batch& upload(const Batch& batch);
  /// Call this after queuing all work that reads the batch of the last upload().
  void used();

  /// Which of the two sets holds the last batch.
  int slot() const { return slot_; }
  /// Number of uploads since the shape last changed.
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
