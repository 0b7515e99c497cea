#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/base/dtype.h"
#include "core/base/error.h"

namespace residua {

/// "[32, 56, 56, 64]"
std::string shape_text(std::span<const int64_t> shape);

/// A named array in host memory, as tensor files store it.
struct HostArray {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;    // row-major; empty for a scalar
  std::vector<std::byte> bytes;  // all elements, little-endian

  /// Number of elements.
  int64_t size() const { return static_cast<int64_t>(bytes.size()) / size_bytes(dtype); }
  /// The elements. Throws Error unless T is the element type.
  template <class T>
  std::span<const T> span() const {
    check(dtype_of<T>);
    return {reinterpret_cast<const T*>(bytes.data()), static_cast<size_t>(size())};
  }
  template <class T>
  std::span<T> span() {
    check(dtype_of<T>);
    return {reinterpret_cast<T*>(bytes.data()), static_cast<size_t>(size())};
  }
  /// The elements as floats. Throws Error unless the element type is a floating type.
  std::vector<float> to_floats() const;

 private:
  void check(DType wanted) const;
};

/// Makes an array of these values. Throws Error unless their number fits `shape`.
template <class T>
HostArray host_array(std::string name, std::vector<int64_t> shape, std::span<const T> values) {
  int64_t size = 1;
  for (const int64_t extent : shape) {
    size *= extent;
  }
  if (size != static_cast<int64_t>(values.size())) {
    fail("{}: {} values for an array {}", name, values.size(), shape_text(shape));
  }
  const auto bytes = std::as_bytes(values);
  return {.name = std::move(name), .dtype = dtype_of<T>, .shape = std::move(shape), .bytes = {bytes.begin(), bytes.end()}};
}

/// A named array that refers to memory owned by somebody else. Files are written from these.
struct HostArrayView {
  std::string name;
  DType dtype = DType::f32;
  std::span<const int64_t> shape;
  std::span<const std::byte> bytes;
};

inline HostArrayView view(const HostArray& array, std::string name) {
  return {.name = std::move(name), .dtype = array.dtype, .shape = array.shape, .bytes = array.bytes};
}
/// Views of all arrays, each under its own name.
std::vector<HostArrayView> views(std::span<const HostArray> arrays);

}  // namespace residua
