# Every library that Residua stands on, found on this machine; nothing is downloaded while configuring. `tools/setup` installs them.
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(CLI11 REQUIRED)
find_package(nlohmann_json REQUIRED)
find_path(TOMLPLUSPLUS_INCLUDE_DIR toml++/toml.h REQUIRED)
find_package(JPEG REQUIRED)
find_package(ZLIB REQUIRED)
find_path(STB_INCLUDE_DIR stb_image.h PATH_SUFFIXES stb REQUIRED)
find_package(dnnl REQUIRED CONFIG)
if(NOT DNNL_CPU_RUNTIME STREQUAL "OMP")
  message(FATAL_ERROR "oneDNN in ${dnnl_DIR} uses the CPU runtime '${DNNL_CPU_RUNTIME}'; Residua shares one OpenMP pool with it and needs a build with DNNL_CPU_RUNTIME=OMP.")
endif()
message(STATUS "oneDNN ${dnnl_VERSION}: ${dnnl_DIR}")

add_library(residua_dependencies INTERFACE)
target_include_directories(residua_dependencies SYSTEM INTERFACE ${STB_INCLUDE_DIR} ${TOMLPLUSPLUS_INCLUDE_DIR})
target_link_libraries(residua_dependencies INTERFACE
  Threads::Threads OpenMP::OpenMP_CXX fmt::fmt spdlog::spdlog nlohmann_json::nlohmann_json
  JPEG::JPEG ZLIB::ZLIB DNNL::dnnl)
