// Each of these compiles without the options of cmake/residua_cuda.cmake; ptxas must refuse it with them.
#if defined(SPILL)
__global__ void __launch_bounds__(1024, 2) spills(float* x) {
  float values[96];
#pragma unroll
  for (int i = 0; i < 96; ++i) {
    values[i] = x[i * 1024 + threadIdx.x];
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 96; ++i) {
    x[i * 1024 + threadIdx.x] = values[95 - i] * values[i];
  }
}
#elif defined(STACK)
__global__ void indexes_an_array(float* x, int n) {
  float values[64];
  for (int i = 0; i < 64; ++i) {
    values[i] = x[i * n];
  }
  for (int i = 0; i < n; ++i) {
    values[i * 7 % 64] += x[i];
  }
  for (int i = 0; i < 64; ++i) {
    x[i * n] = values[i];
  }
}
#else
__global__ void has_no_fault(float* x) { x[threadIdx.x] += 1.0f; }
#endif
