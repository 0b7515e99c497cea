// Matmul with cuBLASLt. Times the first algorithms of its heuristic and uses the fastest. With a bias, a plain product followed
// by an add competes too.
#include "core/kernels/matmul.h"

#include <cublasLt.h>

#include <cstring>

#include "core/kernels/cast.h"
#include "cuda/libraries/library_device.h"
#include "cuda/libraries/library_errors.h"
#include "cuda/libraries/matmul_candidates.h"
#include "cuda/runtime/context.h"

namespace residua::cuda {
namespace {

using device_api::Workspace;

constexpr int64_t kWorkspaceBytes = 32 << 20;
constexpr int kAlgorithms = 16;

cudaDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::f32: return CUDA_R_32F;
    case DType::f16: return CUDA_R_16F;
    case DType::bf16: return CUDA_R_16BF;
    default: fail("cuBLASLt has no matmul for element type {}", name(dtype));
  }
}

cublasOperation_t operation(Transpose transpose) { return transpose == Transpose::no ? CUBLAS_OP_N : CUBLAS_OP_T; }

template <class T>
void set(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  RESIDUA_CUBLAS_CHECK(cublasLtMatmulDescSetAttribute(desc, attribute, &value, sizeof value));
}

template <class T>
void set(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute, const T& value) {
  RESIDUA_CUBLAS_CHECK(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value));
}

/// Owns a cuBLASLt descriptor.
template <class Handle, cublasStatus_t (*Destroy)(Handle)>
class Owned {
 public:
  Owned() = default;
  ~Owned() {
    if (handle != nullptr) {
      static_cast<void>(Destroy(handle));
    }
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  Handle handle = nullptr;
};
using Layout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;

class LtMatmul final : public MatmulAlgorithms {
 public:
  LtMatmul(cublasLtHandle_t handle, const MatmulKey& key) : handle_(handle) {
    const ColumnMajor of = column_major(key);
    // Not CUBLAS_COMPUTE_32F_FAST_TF32, because fp32 stays fp32.
    RESIDUA_CUBLAS_CHECK(cublasLtMatmulDescCreate(&desc_.handle, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    set(desc_.handle, CUBLASLT_MATMUL_DESC_TRANSA, operation(of.first.transpose));
    set(desc_.handle, CUBLASLT_MATMUL_DESC_TRANSB, operation(of.second.transpose));
    if (key.biased) {
      set(desc_.handle, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
      // The heuristic derives the guaranteed alignment from this pointer.
      alignas(512) static const unsigned char places[512] = {};
      set(desc_.handle, CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(places + key.alignment));
    }
    create(first_, key.dtype, of.first);
    create(second_, key.dtype, of.second);
    create(result_, key.c_dtype, of.result);

    Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy> preference;
    RESIDUA_CUBLAS_CHECK(cublasLtMatmulPreferenceCreate(&preference.handle));
    set(preference.handle, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64_t>(kWorkspaceBytes));
    // Partial sums are added in fp32, not in the type of c.
    set(preference.handle, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
        static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    for (const auto attribute : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                                 CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
      set(preference.handle, attribute, static_cast<uint32_t>(key.alignment));
    }
    algorithms_.resize(kAlgorithms);
    int found = 0;
    RESIDUA_CUBLAS_CHECK(cublasLtMatmulAlgoGetHeuristic(handle_, desc_.handle, first_.handle, second_.handle, result_.handle,
                                                        result_.handle, preference.handle, kAlgorithms, algorithms_.data(),
                                                        &found));
    algorithms_.resize(static_cast<size_t>(found));
  }

  size_t count() const override { return algorithms_.size(); }
  void check_usable(size_t i) const override { RESIDUA_CUBLAS_CHECK(algorithms_[i].state); }
  /// The bytes of cuBLASLt's description of the algorithm, which are stable within a version.
  std::string name(size_t i) const override {
    std::string text;
    for (const uint64_t word : algorithms_[i].algo.data) {
      text += fmt::format("{}{:x}", text.empty() ? "" : "-", word);
    }
    return text;
  }

  void run(size_t i, const Matmul& args, Stream& stream) const override {
    if (args.bias != nullptr) {
      set(desc_.handle, CUBLASLT_MATMUL_DESC_BIAS_POINTER, args.bias);
    }
    const auto bytes = static_cast<int64_t>(algorithms_[i].workspaceSize);
    const Workspace workspace(stream.device(), workspace_size(bytes));
    const float one = 1;
    const float zero = 0;
    RESIDUA_CUBLAS_CHECK(cublasLtMatmul(handle_, desc_.handle, &one, args.b, first_.handle, args.a, second_.handle, &zero,
                                        args.c, result_.handle, args.c, result_.handle, &algorithms_[i].algo, workspace.data(),
                                        static_cast<size_t>(bytes), native(stream)));
  }

 private:
  static void create(Layout& layout, DType dtype, const ColumnMajor::Matrix& matrix) {
    RESIDUA_CUBLAS_CHECK(cublasLtMatrixLayoutCreate(&layout.handle, type_of(dtype), static_cast<uint64_t>(matrix.rows),
                                                    static_cast<uint64_t>(matrix.columns), matrix.rows));
  }

  cublasLtHandle_t handle_;
  Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy> desc_;
  Layout first_, second_, result_;
  std::vector<cublasLtMatmulHeuristicResult_t> algorithms_;
};

}  // namespace

void run(const Matmul& args, Stream& stream) {
  if (args.m == 0 || args.n == 0) {
    return;
  }
  // cuBLASLt has 16-bit results only for 16-bit factors, and their bias would have to be 16-bit too.
  if (args.c_dtype != DType::f32 && (args.c_dtype != args.dtype || args.bias != nullptr)) {
    const int64_t size = args.m * args.n;
    const Workspace c(stream.device(), size * int64_t{sizeof(float)});
    Matmul f32 = args;
    f32.c_dtype = DType::f32;
    f32.c = c.data();
    run(f32, stream);
    run(Cast{DType::f32, args.c_dtype, size, c.data(), args.c}, stream);
    return;
  }
  LibraryDevice& device = library_device(stream);
  const MatmulKey key = key_of(args);
  device.run(device.matmul, key, args, stream,
             [&] { return matmul_candidates(key, [&] { return std::make_shared<const LtMatmul>(device.cublaslt(), key); }); });
}

}  // namespace residua::cuda
