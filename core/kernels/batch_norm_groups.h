#pragma once

#include <cstddef>
#include <type_traits>

#include "core/base/dtype.h"
#include "core/kernels/batch_norm.h"
#include "core/kernels/batch_norm_relu_max_pool.h"

/// Batch normalization of several groups, composed of that of one group. For the devices: their kernels know one group. These
/// functions are always inlined, because files of several instruction sets call them.
namespace residua {
namespace batch_norm_groups {

#define RESIDUA_ALWAYS_INLINE [[gnu::always_inline]] inline

/// Rows of `args`, and of its groups.
template <class Args>
RESIDUA_ALWAYS_INLINE int64_t& size_of(Args& args) {
  if constexpr (requires { args.shape; }) {
    return args.shape.batch;
  } else {
    return args.rows;
  }
}
template <class Args>
RESIDUA_ALWAYS_INLINE int64_t group_size_of(const Args& args) {
  if constexpr (requires { args.shape; }) {
    return args.group_images;
  } else {
    return args.group_rows;
  }
}

template <class T>
RESIDUA_ALWAYS_INLINE void skip(T*& p, int64_t bytes) {
  using Byte = std::conditional_t<std::is_const_v<T>, const std::byte, std::byte>;
  if (p != nullptr) {
    p = reinterpret_cast<T*>(reinterpret_cast<Byte*>(p) + bytes);
  }
}

/// Skips the rows of a group in tensors, and its channels in tables.
template <class Args, class... Tensors>
RESIDUA_ALWAYS_INLINE void skip_rows(const Args& args, Tensors&... tensors) {
  (skip(tensors, args.rows * args.channels * size_bytes(args.dtype)), ...);
}
template <class... Tables>
RESIDUA_ALWAYS_INLINE void skip_channels(int64_t channels, Tables&... tables) {
  ((tables += channels), ...);
}
template <class Args>
RESIDUA_ALWAYS_INLINE void skip_mask(Args& args) {
  skip(args.mask, (args.rows * args.channels + 7) / 8);
}

RESIDUA_ALWAYS_INLINE void advance(BatchNormStatistics& a) {
  skip_rows(a, a.x);
  skip_channels(a.channels, a.mean, a.variance, a.rstd);
}
RESIDUA_ALWAYS_INLINE void advance(BatchNormApply& a) {
  skip_rows(a, a.x, a.residual, a.y);
  skip_mask(a);
  skip_channels(a.channels, a.mean, a.rstd);
}
RESIDUA_ALWAYS_INLINE void advance(BatchNormBackwardReduce& a) {
  skip_rows(a, a.x, a.dy, a.more, a.g);
  skip_mask(a);
  skip_channels(a.channels, a.mean, a.rstd, a.sum_g, a.sum_g_xhat);
}
RESIDUA_ALWAYS_INLINE void advance(BatchNormBackwardApply& a) {
  skip_rows(a, a.x, a.dy, a.dx);
  skip_mask(a);
  skip_channels(a.channels, a.mean, a.rstd, a.sum_g, a.sum_g_xhat);
}

/// Elements of the images of a group before and after pooling.
RESIDUA_ALWAYS_INLINE int64_t elements_in(const PoolShape& s) { return s.batch * s.in_height * s.in_width * s.channels; }
RESIDUA_ALWAYS_INLINE int64_t elements_out(const PoolShape& s) { return s.batch * s.out_height() * s.out_width() * s.channels; }

RESIDUA_ALWAYS_INLINE void advance(BatchNormReluMaxPoolForward& a) {
  skip(a.x, elements_in(a.shape) * size_bytes(a.dtype));
  skip(a.y, elements_out(a.shape) * size_bytes(a.dtype));
  skip(a.index, elements_out(a.shape));
  skip_channels(a.shape.channels, a.mean, a.rstd);
}
RESIDUA_ALWAYS_INLINE void advance(BatchNormReluMaxPoolBackwardReduce& a) {
  skip(a.x, elements_in(a.shape) * size_bytes(a.dtype));
  skip(a.y, elements_out(a.shape) * size_bytes(a.dtype));
  skip(a.dy, elements_out(a.shape) * size_bytes(a.dtype));
  skip(a.index, elements_out(a.shape));
  skip_channels(a.shape.channels, a.mean, a.rstd, a.sum_g, a.sum_g_xhat);
}
RESIDUA_ALWAYS_INLINE void advance(BatchNormReluMaxPoolBackwardApply& a) {
  skip(a.x, elements_in(a.shape) * size_bytes(a.dtype));
  skip(a.dx, elements_in(a.shape) * size_bytes(a.dtype));
  skip(a.dy, elements_out(a.shape) * size_bytes(a.dtype));
  skip(a.index, elements_out(a.shape));
  skip_channels(a.shape.channels, a.mean, a.rstd, a.sum_g, a.sum_g_xhat);
}

}  // namespace batch_norm_groups

/// Calls f(args) for each group, in order, with `args` cut down to that group alone.
template <class Args, class F>
RESIDUA_ALWAYS_INLINE void for_each_group(Args args, const F& f) {
  int64_t& size = batch_norm_groups::size_of(args);
  const int64_t group = batch_norm_groups::group_size_of(args);
  for (int64_t left = size; true; left -= size, batch_norm_groups::advance(args)) {
    size = group < left ? group : left;
    f(args);
    if (left == size) {
      return;
    }
  }
}

#undef RESIDUA_ALWAYS_INLINE

}  // namespace residua
