"""What bench/scaling is made of: measurements, a simulation of a step, the arithmetic of GPU clusters, and the report."""
