#pragma once

#include <array>

namespace residua {

/// The principal components of a set of RGB pixels, each channel from 0 to 1.
struct PrincipalColors {
  std::array<double, 3> eigenvalues;                // of the covariance, largest first
  std::array<std::array<double, 3>, 3> components;  // [k] is the unit eigenvector of eigenvalues[k]: red, green, blue

  bool operator==(const PrincipalColors&) const = default;
};

/// ImageNet's, as fb.resnet.torch has them.
inline constexpr PrincipalColors kImageNetColors{
    {0.2175, 0.0188, 0.0045}, {{{-0.5675, -0.5808, -0.5836}, {0.7192, -0.0045, -0.6948}, {0.4009, -0.8140, 0.4203}}}};

/// The eigenvalues and eigenvectors of a symmetric matrix, by Jacobi rotations. The largest number of an eigenvector is
/// positive.
PrincipalColors principal_colors(std::array<std::array<double, 3>, 3> covariance);

}  // namespace residua
