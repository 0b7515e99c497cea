#pragma once

#include "core/base/dtype.h"
#include "core/base/enum_text.h"
#include "core/device/device.h"

namespace residua {

/// The type of activations and their gradients; weights and sums are always fp32. `automatic` means bf16 if the device computes
/// in it, fp32 otherwise.
enum class Precision : uint8_t { automatic, fp32, bf16, fp16 };
template <>
inline constexpr auto kEnumText<Precision> = enum_text<Precision>(
    {{Precision::automatic, "auto"}, {Precision::fp32, "fp32"}, {Precision::bf16, "bf16"}, {Precision::fp16, "fp16"}});

DType compute_type(Precision precision, Device device);

}  // namespace residua
