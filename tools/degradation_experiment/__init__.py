"""What tools/degradation is made of.

  presets      the experiments that there are
  arms         one training run of the grid, and the grid
  trainer      train-imagenet: its words, its answers, its processes
  twins        holds arms to differ in nothing but the network
  planning     the grid of an output folder, resolved once: plan.json
  budget       which part of the grid fits into some hours
  results      what a finished arm left, and whether a folder is that arm's
  runner       runs arms side by side, saves and goes on
  progress     how far the grid is
  intervals    means, deviations, and Welch's interval
  verdicts     the paper's claims, and the rule that decides them
  paper        the paper's numbers
  figures, tables, report    what comes out
  refusal      the exception that ends a call with a message
"""
