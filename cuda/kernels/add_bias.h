#pragma once

#include <cstdint>

#include "cuda/runtime/stream.h"

namespace residua::cuda {

/// y[r, c] += bias[c], for a matrix product that the vendor's library adds no bias to.
struct AddBias {
  int64_t rows, columns;
  const float* bias;  // [columns]
  float* y;           // [rows, columns], accumulated into
};

void run(const AddBias& args, Stream& stream);

}  // namespace residua::cuda
