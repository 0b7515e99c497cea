// A file of settings.
#include "core/config/toml_file.h"
#include "tests/fuzz/fuzz_target.h"

namespace residua::test {
namespace {

const RegisterFuzzTarget kTarget("toml", [](std::span<const uint8_t> bytes) {
  parse_toml({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, "config.toml");
});

}  // namespace
}  // namespace residua::test
