# What every user of the headers needs.
include(GNUInstallDirs)
add_library(residua_interface INTERFACE)
target_include_directories(residua_interface INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/residua>)
target_compile_features(residua_interface INTERFACE cxx_std_20)
target_link_libraries(residua_interface INTERFACE fmt::fmt nlohmann_json::nlohmann_json)

# Flags for our own code, which a project that uses the library does not get.
add_library(residua_private INTERFACE)
target_include_directories(residua_private SYSTEM INTERFACE ${STB_INCLUDE_DIR} ${TOMLPLUSPLUS_INCLUDE_DIR} ${XXHASH_INCLUDE_DIR})
target_compile_options(residua_private INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Werror -fno-math-errno>)
# DT_RPATH, which holds for the libraries' own libraries too, not DT_RUNPATH.
target_link_options(residua_private INTERFACE -Wl,--disable-new-dtags)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC bug 105651: a false alarm inside std::string's operator+.
  target_compile_options(residua_private INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>)
endif()
# Debian's hardening. Sanitizers check the same and more, and their own checks do not see through _FORTIFY_SOURCE.
option(RESIDUA_HARDENED "Build with stack protector, checked library calls, position-independent programs and read-only relocations" ON)
if(RESIDUA_HARDENED AND NOT RESIDUA_SANITIZE)
  set(hardened -fstack-protector-strong -fstack-clash-protection -fPIE)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    list(APPEND hardened -fcf-protection)
  endif()
  target_compile_options(residua_private INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${hardened}>")
  # Not without optimization, which is a warning, nor in tests/host_cuda, which has sanitizers of its own.
  set(has_sanitizers "$<IN_LIST:RESIDUA_HOST_CUDA,$<TARGET_PROPERTY:COMPILE_DEFINITIONS>>")
  target_compile_options(residua_private INTERFACE
    "$<$<AND:$<COMPILE_LANGUAGE:CXX>,$<NOT:$<CONFIG:Debug>>,$<NOT:${has_sanitizers}>>:-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=3>")
  target_link_options(residua_private INTERFACE -pie -Wl,-z,relro,-z,now)
endif()
set(isa_optimization -O3)
if(RESIDUA_SANITIZE)
  target_compile_options(residua_private INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${RESIDUA_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer>)
  target_link_options(residua_private INTERFACE -fsanitize=${RESIDUA_SANITIZE})
  # Instrumented vector code at -O3 takes minutes to compile, and is not what runs.
  set(isa_optimization -O1)
endif()

# Files in a folder isa are compiled once for each instruction set, in a namespace of its own; core/base/isa.h chooses at run time.
# One object library residua_isa_<level> each; RESIDUA_ISA_OBJECTS becomes all of their objects. The baseline comes first, so that
# the linker takes shared inline functions from it.
function(residua_add_isa_sources)
  set(levels baseline)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    list(APPEND levels avx2 avx512 avx512bf16)
    target_compile_definitions(residua_private INTERFACE RESIDUA_X86_64)
  endif()
  set(flags_baseline "")
  set(flags_avx2 -march=x86-64-v3)
  set(flags_avx512 -march=x86-64-v4)
  set(flags_avx512bf16 -march=x86-64-v4 -mavx512bf16)
  foreach(level IN LISTS levels)
    add_library(residua_isa_${level} OBJECT ${ARGN})
    target_link_libraries(residua_isa_${level} PRIVATE residua_interface residua_private ${RESIDUA_ENGINE_LIBRARIES})
    target_compile_definitions(residua_isa_${level} PRIVATE RESIDUA_ISA=${level} RESIDUA_ISA_${level})
    target_compile_options(residua_isa_${level} PRIVATE ${isa_optimization} -Wno-psabi ${flags_${level}})
    list(APPEND objects $<TARGET_OBJECTS:residua_isa_${level}>)
  endforeach()
  set(RESIDUA_ISA_OBJECTS ${objects} PARENT_SCOPE)
endfunction()

# An object library that the exported libraries link as residua::<name without residua_>.
function(residua_add_objects name)
  add_library(${name} OBJECT ${ARGN})
  target_link_libraries(${name} PRIVATE residua_interface $<BUILD_INTERFACE:residua_private>)
  string(REGEX REPLACE "^residua_" "" exported ${name})
  set_target_properties(${name} PROPERTIES EXPORT_NAME ${exported})
  add_library(residua::${exported} ALIAS ${name})
endfunction()

# Error messages name source files by their path in the project, not by their path on this machine.
set(RESIDUA_RELATIVE_PATHS -fmacro-prefix-map=${PROJECT_SOURCE_DIR}/=)

# The executable <name> of <name>.cpp, dashes for underscores.
function(residua_add_executable source)
  get_filename_component(name ${source} NAME_WE)
  string(REPLACE _ - name ${name})
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE residua_cli)
  target_compile_options(${name} PRIVATE ${RESIDUA_RELATIVE_PATHS})
endfunction()
