#pragma once

#include <string>

#include "core/train/run_observer.h"

namespace residua {

/// Draws curves.png and curves.svg of a run's folder by tools/plot-curves. Without it, or without matplotlib, the run stands
/// all the same: the observer is told how to draw them.
void draw_curves(const std::string& folder, RunObserver& observer);

}  // namespace residua
