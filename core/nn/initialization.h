#pragma once

#include <cstdint>

#include "core/base/enum_text.h"
#include "core/nn/parameter_store.h"

namespace residua {

/// What He initialization counts for convolutions: the inputs of an output (C * R * S, the paper's choice and the default: He
/// et al. 2015b, "Delving deep into rectifiers", eq. 10) or the outputs of an input (K * R * S, eq. 14 and torchvision's
/// ResNets).
enum class FanMode : uint8_t { fan_in, fan_out };
template <>
inline constexpr auto kEnumText<FanMode> = enum_text<FanMode>({{FanMode::fan_in, "fan-in"}, {FanMode::fan_out, "fan-out"}});

/// Sets every weight: convolutions and linear layers from N(0, 2 / fan), where linear layers always take the fan-in; gamma 1;
/// beta and biases 0. A weight depends on the seed, its parameter's name and its place in the logical (OIHW) order alone:
/// neither on other layers nor on how the model is stored. Running statistics become mean 0, variance 1; velocities, where
/// there are any, 0.
void initialize(ParameterStore& store, uint64_t seed, FanMode mode = FanMode::fan_in);

}  // namespace residua
