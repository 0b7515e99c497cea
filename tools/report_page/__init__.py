"""Reports as pages: page.py makes Markdown and self-contained HTML of blocks, training_run.py the blocks of a training run."""
