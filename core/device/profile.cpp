#include "core/device/profile.h"

#include <cxxabi.h>

#include <cstdlib>
#include <memory>

namespace residua::profile {
namespace {

thread_local Recorder* current_recorder = nullptr;
thread_local std::string_view current_layer;

/// "ConvolutionForward" for "residua::ConvolutionForward".
std::string contract_name(const std::type_info& type) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> text(abi::__cxa_demangle(type.name(), nullptr, nullptr, &status), std::free);
  const std::string name = status == 0 ? text.get() : type.name();
  const size_t colon = name.rfind(':');
  return colon == std::string::npos ? name : name.substr(colon + 1);
}

}  // namespace

Recorder::Recorder() { current_recorder = this; }
Recorder::~Recorder() { current_recorder = nullptr; }

void Recorder::add(std::string_view layer, const std::type_info& contract, double seconds) {
  Entry& entry = entries_[{std::string(layer), contract_name(contract)}];
  ++entry.calls;
  entry.seconds += seconds;
}

Recorder* active() { return current_recorder; }

std::string_view layer() { return current_layer; }

Layer::Layer(std::string_view name) : previous_(std::exchange(current_layer, name)) {}
Layer::~Layer() { current_layer = previous_; }

}  // namespace residua::profile
