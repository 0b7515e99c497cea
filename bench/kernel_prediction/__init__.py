"""What bench/predict-kernels is made of: compiled code and its loops, the GPU, the cases of kernel-bench, the prediction, the report."""
