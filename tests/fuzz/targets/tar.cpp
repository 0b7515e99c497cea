// The members of a tar file.
#include "core/data/shards/tar.h"
#include "tests/fuzz/fuzz_target.h"

namespace residua::test {
namespace {

void list(std::span<const uint8_t> bytes) {
  const InputFile file(fuzz_file("file.tar", bytes));
  for (const TarMember& member : list_tar(file)) {
    require(member.offset <= file.size() && member.size <= file.size() - member.offset, "a member reaches past the end");
  }
}

const RegisterFuzzTarget kTarget("tar", list);

}  // namespace
}  // namespace residua::test
