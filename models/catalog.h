#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "models/resnet.h"

namespace residua {

/// A network that is known by name.
struct CatalogEntry {
  ResNetSpec spec;          // `spec.name` is the name
  std::string description;  // one line for --list-models
};

/// All networks, the ImageNet ones first. ImageNet residual nets have shortcut B (torchvision's), CIFAR ones A (the paper's);
/// any other shortcut, class count or input size is a change to the spec.
const std::vector<CatalogEntry>& model_catalog();

/// The spec of a network. Fails with UsageError that names the nearest ones when there is none of that name.
ResNetSpec model_spec(std::string_view name);

/// Changes the shortcut of a residual network's spec. Fails with UsageError when the network is plain, or when `shortcut` is
/// none.
void set_shortcut(ResNetSpec& spec, Shortcut shortcut);

}  // namespace residua
