#pragma once

namespace residua {

/// Opens closed standard streams on /dev/null. Otherwise a file of the program could get the number of one, and receive what is
/// printed.
void open_standard_streams();

}  // namespace residua
