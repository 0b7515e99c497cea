#pragma once

namespace residua {

/// Opens standard streams that were closed on /dev/null: a file of the program must not get the number of one, or what is
/// printed would go into it.
void open_standard_streams();

}  // namespace residua
