# cmake -DNM=... -DOBJECTS=a.o,b.o -P isa_symbols.cmake
# Weak symbols of the objects of one instruction set must carry its namespace in their name: the linker keeps one copy of a weak
# function for the whole program, and if that is one of a higher instruction set, code outside would run it on any processor.
string(REPLACE "," ";" objects "${OBJECTS}")
set(leaks "")
foreach(object IN LISTS objects)
  execute_process(COMMAND ${NM} --demangle --defined-only ${object} OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "[^\n]* [WVu] [^\n]*" weak "${symbols}")
  foreach(symbol IN LISTS weak)
    if(NOT symbol MATCHES "residua::cpu::avx|DW\\.ref\\.")
      string(APPEND leaks "${object}: ${symbol}\n")
    endif()
  endforeach()
endforeach()
if(leaks)
  message(FATAL_ERROR "Weak symbols outside of the instruction set's namespace; make these functions always inline:\n${leaks}")
endif()
