#pragma once

namespace residua {

/// From now on each warning of the library is a line on standard error.
void show_warnings();

}  // namespace residua
