// A run's folder that holds one file. Checkpoints of old formats have no digest, so the fuzzer reaches what is behind it.
#include "core/run/checkpoint.h"

#include "tests/fuzz/fuzz_target.h"

namespace residua::test {
namespace {

void load(std::span<const uint8_t> bytes) {
  const std::string path = fuzz_file("run/checkpoint.safetensors", bytes);
  const Checkpoint checkpoint = load_checkpoint(path);
  require(checkpoint.state.is_object(), "the state is no object");
  require(find_checkpoint(fuzz_file("run")).path == path, "a sound checkpoint is not found");
}

const RegisterFuzzTarget kTarget("checkpoint", load);

}  // namespace
}  // namespace residua::test
