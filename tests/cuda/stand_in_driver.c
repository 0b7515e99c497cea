// A libcuda.so.1 for machines without a GPU. cuDNN offers the engines that it compiles at run time only where it can load a
// driver's library, and then loads code through the functions below when a plan is built: here they succeed and do nothing. All
// else is the toolkit's stub for linking, whose functions fail, so that no GPU is found.
#include <stddef.h>

enum { kSuccess = 0 };  // CUresult

static char object;  // what every handle points to

int cuLibraryLoadData(void** library, const void* code, int* jit_options, void** jit_values, unsigned jit_count, int* options,
                      void** values, unsigned count) {
  (void)code, (void)jit_options, (void)jit_values, (void)jit_count, (void)options, (void)values, (void)count;
  *library = &object;
  return kSuccess;
}

int cuLibraryUnload(void* library) {
  (void)library;
  return kSuccess;
}

int cuLibraryGetKernel(void** kernel, void* library, const char* name) {
  (void)library, (void)name;
  *kernel = &object;
  return kSuccess;
}

int cuLibraryGetModule(void** module, void* library) {
  (void)library;
  *module = &object;
  return kSuccess;
}

int cuKernelGetFunction(void** function, void* kernel) {
  (void)kernel;
  *function = &object;
  return kSuccess;
}

int cuKernelSetAttribute(int attribute, int value, void* kernel, int device) {
  (void)attribute, (void)value, (void)kernel, (void)device;
  return kSuccess;
}

int cuKernelGetAttribute(int* value, int attribute, void* kernel, int device) {
  (void)attribute, (void)kernel, (void)device;
  *value = 0;
  return kSuccess;
}

int cuFuncSetAttribute(void* function, int attribute, int value) {
  (void)function, (void)attribute, (void)value;
  return kSuccess;
}

int cuFuncGetAttribute(int* value, int attribute, void* function) {
  (void)attribute, (void)function;
  *value = 0;
  return kSuccess;
}

int cuModuleLoadData(void** module, const void* code) {
  (void)code;
  *module = &object;
  return kSuccess;
}

int cuModuleLoadDataEx(void** module, const void* code, unsigned count, int* options, void** values) {
  (void)code, (void)count, (void)options, (void)values;
  *module = &object;
  return kSuccess;
}

int cuModuleGetFunction(void** function, void* module, const char* name) {
  (void)module, (void)name;
  *function = &object;
  return kSuccess;
}

int cuModuleUnload(void* module) {
  (void)module;
  return kSuccess;
}
