"""Running a training or an evaluation: ranks, steps, epochs, checkpoints, the run folder."""
