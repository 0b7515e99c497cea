#include "tools/cli/ranks.h"

#include <fmt/format.h>

#include <cstdlib>

#include "core/data/data_errors.h"
#include "core/distributed/agreement.h"
#include "core/distributed/connect.h"
#include "core/train/run_saver.h"

namespace residua {

Launch this_launch() {
  return launch_of([](const char* name) -> const char* { return std::getenv(name); });
}

void check_one_process(const Launch& launch, const std::string& what) {
  if (launch.world > 1) {
    fail_usage("{} started {} ranks, but {} runs in one process: start it once", launch.launcher, launch.world, what);
  }
}

Ranks::~Ranks() {
  if (!finished_ && launch_.world > 1) {
    all_->abort(code_);
  }
}

const Launch& Ranks::launch() {
  launch_ = this_launch();
  if (launch_.world > 1) {
    prefix_ = fmt::format("rank {} of {}: ", launch_.rank, launch_.world);
  }
  return launch_;
}

Communicator& Ranks::connect(Device device, double limit) {
  all_ = residua::connect(launch_, device, limit);
  return *all_;
}

int Ranks::run(const std::function<int()>& work) {
  try {
    const int code = work();
    finished_ = true;
    return code;
  } catch (const Disagreement&) {
    if (!end_together()) {
      return 2;
    }
    throw;
  } catch (const Diverged&) {
    if (!end_together()) {
      return 1;
    }
    throw;
  } catch (const TooManyBadImages&) {
    if (!end_together()) {
      return 1;
    }
    throw;
  }
}

bool Ranks::end_together() {
  all_->gather("");
  finished_ = true;
  return all_->leads();
}

}  // namespace residua
