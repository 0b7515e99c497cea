#include "core/autograd/no_grad.h"

#include <utility>

namespace residua {
namespace {

thread_local bool recording = true;

}  // namespace

bool is_recording() { return recording; }

NoGrad::NoGrad() : previous_(std::exchange(recording, false)) {}
NoGrad::~NoGrad() { recording = previous_; }

}  // namespace residua
