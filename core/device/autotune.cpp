#include "core/device/autotune.h"

namespace residua {
namespace {

thread_local int scopes = 0;  // of WithoutAutotune

}  // namespace

WithoutAutotune::WithoutAutotune() { ++scopes; }
WithoutAutotune::~WithoutAutotune() { --scopes; }

bool autotune_allowed() { return scopes == 0; }

}  // namespace residua
