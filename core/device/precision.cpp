#include "core/device/precision.h"

#include "core/device/device_api.h"

namespace residua {

DType compute_type(Precision precision, Device device) {
  switch (precision) {
    case Precision::automatic: return device_api::native(device, DType::bf16) ? DType::bf16 : DType::f32;
    case Precision::fp32: return DType::f32;
    case Precision::bf16: return DType::bf16;
    case Precision::fp16: return DType::f16;
  }
  return DType::f32;
}

}  // namespace residua
