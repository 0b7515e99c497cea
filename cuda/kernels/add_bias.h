#pragma once

#include <cstdint>

#include "cuda/runtime/stream.h"

namespace residua::cuda {

/// y[r, c] += bias[c], for matrix products whose library plan has no bias epilogue.
struct AddBias {
  int64_t rows, columns;
  const float* bias;  // [columns]
  float* y;           // [rows, columns], accumulated into
};

void run(const AddBias& args, Stream& stream);

}  // namespace residua::cuda
