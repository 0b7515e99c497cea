#pragma once

#include <cstdint>

#include "core/base/enum_text.h"

namespace residua {

class Settings;

/// What a run does when its training has diverged.
enum class OnDivergence : uint8_t { stop, roll_back };
template <>
inline constexpr auto kEnumText<OnDivergence> = enum_text<OnDivergence>({{OnDivergence::stop, "stop"},
                                                                         {OnDivergence::roll_back, "rollback"}});

/// When training counts as diverged, and what happens then.
struct DivergenceOptions {
  /// Skipped steps in a row. A bad image or a rare overflow spoils one step. Ten batches in a row fail because of the weights.
  int64_t max_skipped_steps = 10;
  OnDivergence on_divergence = OnDivergence::stop;
};

void declare(Settings& settings, DivergenceOptions& options);

}  // namespace residua
