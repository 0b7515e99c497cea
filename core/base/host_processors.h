#pragma once

#include <cstdint>

namespace residua {

/// How many processors this program may use: those it is bound to, but no more than its control groups give it time for. A
/// limit of 1.5 processors counts as 2, because two threads then get more done than one. At least 1. Files are read below
/// `root`, for tests.
int64_t host_processors(const char* root = "");

/// The limit of the control groups alone, rounded up; INT64_MAX if there is none.
int64_t processors_of_groups(const char* root = "");

}  // namespace residua
