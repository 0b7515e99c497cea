#include "tools/cli/standard_streams.h"

#include <fcntl.h>
#include <unistd.h>

namespace residua {

void open_standard_streams() {
  int descriptor = 0;
  while (descriptor >= 0 && descriptor <= STDERR_FILENO) {
    descriptor = ::open("/dev/null", O_RDWR);
  }
  if (descriptor > STDERR_FILENO) {
    ::close(descriptor);
  }
}

}  // namespace residua
