"""The parts of tools/gpu-check.

  outcome    the possible outcomes of a piece, and their exceptions
  runner     starts programs within a time limit
  piece      a command of a part: its name, its time, what it does
  record     the results file
  order      all pieces, in the order in which they run
  schedule   runs the pieces that fit into a budget
  targets    compares measurements with targets
  report     prints the table
  steps, numerics, kernels, plans, pytorch, sanitizers, training    the parts
"""
