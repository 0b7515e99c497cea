#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/kernels/run.h"
#include "core/tensor/tensor.h"

/// The kernels at the networks' shapes. Each family of contracts has a file in this folder that adds its cases; a new family
/// needs only a new file.
namespace residua::bench {

using Work = std::function<void()>;

/// Whether operands have memory, or are only counted: then the work must not run.
enum class Allocation { real, none };

/// Allocates the tensors that a piece of work reads and writes, fills them with random values, and counts the bytes that must
/// cross memory: each tensor once, or twice if it is updated in place.
class Operands {
 public:
  Operands(Device device, DType dtype, Allocation allocation = Allocation::real)
      : device_(device), dtype_(dtype), allocation_(allocation) {}

  Device device() const { return device_; }
  /// Element type of activations.
  DType dtype() const { return dtype_; }
  double bytes() const { return bytes_; }
  /// Those of `bytes()` that are written.
  double written_bytes() const { return written_bytes_; }

  /// Activations in [-1, 1].
  const void* read(int64_t size) { return fill(size, dtype_, -1, 1, 1); }
  void* written(int64_t size) { return write(size, dtype_, -1, 1, 1); }
  /// Values in [low, high]; integers if T is an integer type.
  template <class T>
  const T* read(int64_t size, double low, double high) {
    return static_cast<const T*>(fill(size, dtype_of<T>, low, high, 1));
  }
  template <class T>
  T* written(int64_t size) {
    return static_cast<T*>(write(size, dtype_of<T>, 0, 0, 1));
  }
  template <class T>
  T* updated(int64_t size) {
    return static_cast<T*>(write(size, dtype_of<T>, -1, 1, 2));
  }
  /// `bytes` zero bytes that are not counted, for counters.
  void* zeroed(int64_t bytes) { return fill(bytes, DType::u8, 0, 0, 0); }
  /// Corrects the count for a kernel that need not access all of a tensor.
  void count(double bytes) { bytes_ += bytes; }

 private:
  void* fill(int64_t size, DType dtype, double low, double high, int crossings);
  void* write(int64_t size, DType dtype, double low, double high, int crossings) {
    written_bytes_ += static_cast<double>(size * size_bytes(dtype));
    return fill(size, dtype, low, high, crossings);
  }

  Device device_;
  DType dtype_;
  Allocation allocation_;
  double bytes_ = 0;
  double written_bytes_ = 0;
  std::vector<Tensor> tensors_;
};

/// Allocates the operands of a piece of work, and returns the work. An empty function: there is no such work.
using Maker = std::function<Work(Operands& operands)>;

/// Runs contracts one after the other.
template <class... Contracts>
Work sequence(const Operands& operands, const Contracts&... contracts) {
  return [device = operands.device(), contracts...] { (run(device, contracts), ...); };
}

struct KernelCase {
  std::string kernel;  // the contract and its form, "BatchNormApply add relu", or the operation: "batch_norm_relu forward"
  std::string shape;   // "256x56x56x64"
  Maker own;
  Maker unfused = {};  // the same with simple kernels, if `own` fuses them
  Maker cudnn = {};    // the same with cuDNN's own operation
  double flops = 0;    // 0: memory-bound
  std::vector<DType> dtypes = {DType::f16, DType::bf16, DType::f32};

  std::string name() const { return kernel + " " + shape; }
};

/// A namespace-scope object of this type adds cases for a batch size.
struct RegisterKernelCases {
  explicit RegisterKernelCases(std::vector<KernelCase> (*make)(int64_t batch));
};

/// All cases, ordered by kernel.
std::vector<KernelCase> kernel_cases(int64_t batch);

/// "256x56x56x64"
std::string shape_name(std::initializer_list<int64_t> sizes);

}  // namespace residua::bench
