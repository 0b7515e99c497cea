# Writes OUTPUT, the C++ file with the version, unless it says the same already:
# cmake -DVERSION=0.1.0 -DSOURCE=... -DOUTPUT=... -P write_version.cmake
set(version ${VERSION})
# Sources that lie in another repository have not its commit.
execute_process(COMMAND git -C ${SOURCE} rev-parse --show-cdup
  OUTPUT_VARIABLE up OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE foreign)
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --exclude=* --abbrev=10
  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(NOT failed AND NOT foreign AND "${up}" STREQUAL "")
  string(APPEND version "+g${commit}")
endif()
set(text "#include \"core/base/version.h\"

namespace residua {

std::string_view version() { return \"${version}\"; }

}  // namespace residua
")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} before)
endif()
if(NOT "${before}" STREQUAL "${text}")
  file(WRITE ${OUTPUT} "${text}")
endif()
