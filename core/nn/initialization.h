#pragma once

#include <cstdint>

#include "core/base/enum_text.h"
#include "core/nn/parameter_store.h"

namespace residua {

/// The fan of He initialization for convolutions. `fan_in` (the default) counts the inputs of an output, C * R * S: He et al.
/// 2015b, "Delving deep into rectifiers", eq. 10. `fan_out` counts the outputs of an input, K * R * S: eq. 14, used by
/// torchvision's ResNets.
enum class FanMode : uint8_t { fan_in, fan_out };
template <>
inline constexpr auto kEnumText<FanMode> = enum_text<FanMode>({{FanMode::fan_in, "fan-in"}, {FanMode::fan_out, "fan-out"}});

/// Initializes all weights. Convolutions and linear layers: N(0, 2 / fan), with fan-in for all linear layers. gamma: 1; beta
/// and biases: 0. With `zero_gamma` the last gamma of each residual block is 0 too, so that the block starts as its shortcut
/// (Goyal et al. 2017, section 5.1). A weight depends only on the seed, its parameter's name and its position in logical (OIHW)
/// order, not on other layers or on how the model is stored. Running statistics become mean 0 and variance 1; momentum buffers
/// become 0.
void initialize(ParameterStore& store, uint64_t seed, FanMode mode = FanMode::fan_in, bool zero_gamma = false);

}  // namespace residua
