"""What tools/gpu-check is made of.

  outcome    what can become of a piece of work, and the exceptions that say so
  runner     starts programs within a time limit
  piece      one command of a part: its name, its time, what it does
  record     the results file
  schedule   which pieces a budget takes, and in which order they run
  targets    judges what was measured
  report     the table
  steps, numerics, kernels, plans, pytorch, sanitizers, training    the parts
"""
