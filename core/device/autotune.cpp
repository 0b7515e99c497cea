#include "core/device/autotune.h"

namespace residua {
namespace {

thread_local int scopes = 0;  // the number of WithoutAutotune objects

}  // namespace

WithoutAutotune::WithoutAutotune() { ++scopes; }
WithoutAutotune::~WithoutAutotune() { --scopes; }

bool autotune_allowed() { return scopes == 0; }

}  // namespace residua
