#include "core/data/worker_count.h"

#include <algorithm>
#include <thread>

#include "core/config/settings.h"

namespace residua {

int64_t one_worker_a_core() { return std::clamp<int64_t>(std::thread::hardware_concurrency(), 1, kMaxWorkers); }

Setting workers_setting(int64_t& workers, const std::string& help) {
  const std::string wanted = "auto or " + config_detail::describe(between(0, kMaxWorkers), true);
  const auto set = [&workers, wanted](const Words& words) {
    const std::string& word = config_detail::single("workers", words, wanted);
    workers = word == "auto" ? kAutoWorkers : config_detail::parse_whole("workers", word, between(0, kMaxWorkers), wanted);
  };
  const auto get = [&workers]() -> Words { return {workers == kAutoWorkers ? "auto" : fmt::format("{}", workers)}; };
  return {.name = "workers", .help = help, .wanted = wanted, .kind = WordKind::number, .set = set, .get = get};
}

}  // namespace residua
