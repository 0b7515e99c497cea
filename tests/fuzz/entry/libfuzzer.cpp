// What libFuzzer calls: the one target of the program.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const residua::test::FuzzTarget target = residua::test::fuzz_targets().begin()->second;
  residua::test::run(target, {data, size});
  return 0;
}
