"""From pictures to a dataset: sources, crops, codecs, metrics, the plan, and engines that run it."""
