#pragma once

#include <string>

#include "core/train/run_observer.h"

namespace residua {

/// Draws curves.png and curves.svg into a run's folder with tools/plot-curves. If that or matplotlib is missing, the run still
/// succeeds, and the observer gets a note on how to draw them.
void draw_curves(const std::string& folder, RunObserver& observer);

}  // namespace residua
