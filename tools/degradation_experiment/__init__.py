"""The parts of tools/degradation.

  presets      the experiments
  arms         an arm (one training run) and the grid of arms
  division     places for arms that run in parallel; the ranks and threads of an arm
  trainer      train-imagenet: its flags, its output, its processes
  twins        checks that arms differ only in the network
  planning     the grid of an output folder, resolved once: plan.json
  budget       which part of the grid fits into a number of hours
  results      the files of a finished arm, and whether a folder belongs to an arm
  runner       runs arms in parallel, saves and resumes
  progress     the progress of the grid
  intervals    means, standard deviations, and Welch's interval
  verdicts     the paper's claims, and the rule that decides them
  paper        the paper's numbers
  figures, tables, report    the output
  refusal      the exception that ends a call with a message
"""
