#include "core/data/batch_upload.h"

namespace residua {
namespace {

constexpr std::array kTensors = {&Batch::images, &Batch::labels, &Batch::views};

bool same_shape(const Batch& a, const Batch& b) {
  for (const auto tensor : kTensors) {
    if (!(a.*tensor).defined() || (a.*tensor).shape() != (b.*tensor).shape()) {
      return false;
    }
  }
  return a.height == b.height && a.width == b.width && a.whole == b.whole;
}

}  // namespace

BatchUpload::BatchUpload(Device device) : device_(device), slots_{Slot(device), Slot(device)} {}

void BatchUpload::lay_out(const Batch& like) {
  device_api::synchronize(device_);  // the copy stream may still write to the memory to be freed
  for (Slot& slot : slots_) {
    slot.batch = like;
    slot.batch.samples = {};
    for (const auto tensor : kTensors) {
      slot.batch.*tensor = empty((like.*tensor).shape(), (like.*tensor).dtype(), device_);
    }
  }
  device_api::synchronize(device_);  // tests fill fresh memory on the compute stream
  uploads_ = 0;
}

const Batch& BatchUpload::upload(const Batch& batch) {
  if (device_.type == Device::Type::cpu) {
    slots_[0].batch = batch;
    ++uploads_;
    return slots_[0].batch;
  }
  if (!same_shape(slots_[0].batch, batch)) {
    lay_out(batch);
  }
  slot_ = static_cast<int>(uploads_ % 2);
  ++uploads_;
  Slot& slot = slots_[static_cast<size_t>(slot_)];
  slot.used.stream_wait(device_api::StreamKind::copy);
  for (const auto tensor : kTensors) {
    device_api::copy(device_, (slot.batch.*tensor).data(), Device{}, (batch.*tensor).data(), (batch.*tensor).bytes(),
                     device_api::StreamKind::copy);
  }
  slot.uploaded.record(device_api::StreamKind::copy);
  slot.uploaded.stream_wait(device_api::StreamKind::compute);
  slot.uploaded.wait();
  return slot.batch;
}

void BatchUpload::used() { slots_[static_cast<size_t>(slot_)].used.record(device_api::StreamKind::compute); }

}  // namespace residua
