#pragma once

// Only files that are compiled with MPI's flags include this.
#include <mpi.h>

#include "core/base/dtype.h"

namespace residua {

/// Throws RankFailure, which names the call, unless `code` is success.
void check_mpi(int code, const char* call);

#define RESIDUA_MPI(call, ...) ::residua::check_mpi(call(__VA_ARGS__), #call)

/// How MPI knows the element types.
struct MpiSums {
  MPI_Datatype half_type = MPI_DATATYPE_NULL;
  MPI_Op add_bf16 = MPI_OP_NULL, add_f16 = MPI_OP_NULL;

  void define();
  MPI_Datatype type(DType dtype) const;
  MPI_Op add(DType dtype) const;
};

}  // namespace residua
