#include "core/data/loading_options.h"

#include <cmath>

namespace residua {

int64_t BadImageLimit::of(int64_t images) const {
  return percent < 0 ? count : static_cast<int64_t>(std::floor(static_cast<double>(images) * percent / 100));
}

void declare(Settings& s, LoadingOptions& o) {
  s.number("workers", o.workers, between(0, 1024),
           "Threads that read and decode images; with 0 the training thread does it itself.")
      .alias("j");
  const std::string name = "max-bad-images";
  const std::string wanted = "a whole number from 0 to 2147483647, or a share of the set from 0% to 100%";
  BadImageLimit& limit = o.max_bad_images;
  s.add({.name = name,
         .help = "Images that cannot be read and are skipped before the run ends: a number, or a share of the set such as 1%.",
         .wanted = wanted,
         .kind = WordKind::number,
         .set =
             [&limit, name, wanted](const Words& words) {
               const std::string& word = config_detail::single(name, words, wanted);
               if (word.ends_with('%')) {
                 const Range percent = between(0, 100);
                 try {
                   limit.percent = config_detail::parse_number(name, word.substr(0, word.size() - 1), percent, wanted);
                 } catch (const UsageError&) {
                   fail_setting(name, word, wanted);
                 }
                 return;
               }
               limit = {.count = config_detail::parse_whole(name, word, Range{}, wanted)};
             },
         .get = [&limit]() -> Words {
           return {limit.percent < 0 ? fmt::format("{}", limit.count) : fmt::format("{}%", limit.percent)};
         }});
}

}  // namespace residua
