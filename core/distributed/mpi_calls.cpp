#ifdef RESIDUA_WITH_MPI

#include "core/distributed/mpi_calls.h"

#include <fmt/format.h>

#include <array>

#include "core/distributed/communicator.h"

namespace residua {
namespace {

/// b = a + b for one of the 16-bit types, which MPI does not know.
template <class T>
void add_16_bit(void* a, void* b, int* count, MPI_Datatype*) {
  const T* x = static_cast<const T*>(a);
  T* y = static_cast<T*>(b);
  for (int i = 0; i < *count; ++i) {
    y[i] = from_float<T>(to_float(x[i]) + to_float(y[i]));
  }
}

}  // namespace

void check_mpi(int code, const char* call) {
  if (code != MPI_SUCCESS) {
    std::array<char, MPI_MAX_ERROR_STRING> text{};
    int length = 0;
    MPI_Error_string(code, text.data(), &length);
    throw RankFailure(fmt::format("{} failed: {}", call, text.data()));
  }
}

void MpiSums::define() {
  RESIDUA_MPI(MPI_Type_contiguous, 2, MPI_BYTE, &half_type);
  RESIDUA_MPI(MPI_Type_commit, &half_type);
  RESIDUA_MPI(MPI_Op_create, add_16_bit<bf16>, 1, &add_bf16);
  RESIDUA_MPI(MPI_Op_create, add_16_bit<f16>, 1, &add_f16);
}

MPI_Datatype MpiSums::type(DType dtype) const {
  switch (dtype) {
    case DType::f32: return MPI_FLOAT;
    case DType::i32: return MPI_INT32_T;
    case DType::i64: return MPI_INT64_T;
    case DType::u8: return MPI_UINT8_T;
    default: return half_type;
  }
}

MPI_Op MpiSums::add(DType dtype) const { return dtype == DType::bf16 ? add_bf16 : dtype == DType::f16 ? add_f16 : MPI_SUM; }

}  // namespace residua

#endif
