# cmake --install: programs in bin, scripts in share/residua/tools, headers in include/residua, and the libraries.
include(CMakePackageConfigHelpers)

set(libraries residua_interface residua_engine residua_data residua_models residua_train residua_onnx)
if(RESIDUA_BUILD_CUDA)
  list(APPEND libraries residua_cuda)
endif()
foreach(library IN LISTS libraries)
  string(REGEX REPLACE "^residua_" "" exported ${library})
  set_target_properties(${library} PROPERTIES EXPORT_NAME ${exported})
endforeach()
install(TARGETS ${libraries} residua_data_objects residua_models_objects residua_train_objects EXPORT residua
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} OBJECTS DESTINATION ${CMAKE_INSTALL_LIBDIR}/residua)

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/residua)
install(EXPORT residua FILE residuaTargets.cmake NAMESPACE residua:: DESTINATION ${package})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/residuaConfig.cmake.in ${PROJECT_BINARY_DIR}/residuaConfig.cmake
  INSTALL_DESTINATION ${package} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/residuaConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/residuaConfig.cmake ${PROJECT_BINARY_DIR}/residuaConfigVersion.cmake
  ${CMAKE_CURRENT_LIST_DIR}/FindEXIF.cmake ${CMAKE_CURRENT_LIST_DIR}/FindcuDNN.cmake ${CMAKE_CURRENT_LIST_DIR}/FindNCCL.cmake DESTINATION ${package})

# Code above the devices does not include the CPU device's headers, and only Residua itself is compiled with MPI's.
set(headers ${CMAKE_INSTALL_INCLUDEDIR}/residua)
install(DIRECTORY core models DESTINATION ${headers} FILES_MATCHING PATTERN "*.h" PATTERN core/cpu EXCLUDE PATTERN mpi_thread.h EXCLUDE PATTERN mpi_calls.h EXCLUDE PATTERN recipes EXCLUDE)
if(RESIDUA_BUILD_CUDA)
  install(DIRECTORY cuda/runtime cuda/device DESTINATION ${headers}/cuda FILES_MATCHING PATTERN "*.h" PATTERN "*.cuh")
endif()

set(programs train-imagenet classify export-onnx pack-imagenet verify-imagenet)
if(RESIDUA_BENCH)
  list(APPEND programs step-bench allreduce-bench kernel-bench loader-bench)
endif()
install(TARGETS ${programs} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
set(scripts ${CMAKE_INSTALL_DATADIR}/residua/tools)
install(PROGRAMS tools/convert-weights tools/degradation tools/plot-curves tools/plot-kernels tools/plot-layers tools/report DESTINATION ${scripts})
install(DIRECTORY tools/degradation_experiment tools/report_page DESTINATION ${scripts} FILES_MATCHING PATTERN "*.py")
