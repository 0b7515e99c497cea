#include "tools/cli/run_program.h"

#include <omp.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <new>

#include "core/base/host_memory.h"
#include "core/base/host_processors.h"
#include "core/base/printable.h"
#include "tools/cli/operator_new.h"
#include "tools/cli/standard_streams.h"
#include "tools/cli/warnings.h"

namespace residua {
namespace {

/// OpenMP knows the processors that this program is bound to, but not the limits of its control groups.
void respect_control_groups() {
  if (std::getenv("OMP_NUM_THREADS") == nullptr) {
    omp_set_num_threads(static_cast<int>(std::min<int64_t>(omp_get_max_threads(), processors_of_groups())));
  }
}

}  // namespace

int run_program(const std::string& program, const std::function<int()>& action, const UsageWording& worded,
                const std::string& prefix) {
  open_standard_streams();
  respect_control_groups();
  show_warnings();
  try {
    return action();
  } catch (const UsageError& error) {
    std::cerr << printable(prefix + worded(error)) + "\n";  // in one piece: ranks share the terminal
    return 2;
  } catch (const std::bad_alloc&) {
    std::cerr << prefix + program + ": out of memory on the host: " +
                     describe_shortage(static_cast<int64_t>(failed_request()), host_memory()) +
                     "; use a smaller batch-size or fewer workers\n";
    return 1;
  } catch (const std::exception& error) {
    std::cerr << printable(prefix + program + ": " + error.what()) + "\n";
    return 1;
  }
}

}  // namespace residua
