#include "core/io/safetensors.h"

#include "tests/fuzz/fuzz_target.h"

namespace residua::test {
namespace {

void load(std::span<const uint8_t> bytes) {
  const std::string path = fuzz_file("weights.safetensors", bytes);
  const Safetensors file = load_safetensors(path);
  uint64_t sum = 0;
  for (const HostArray& array : file.arrays) {
    sum += array.bytes.size();
  }
  require(sum < bytes.size(), "the arrays have more bytes than the file");
  require(load_safetensors_metadata(path) == file.metadata, "the metadata differ");
}

const RegisterFuzzTarget kTarget("safetensors", load);

}  // namespace
}  // namespace residua::test
