#pragma once

namespace residua {

/// Prints each later warning of the library as a line on standard error.
void show_warnings();

}  // namespace residua
