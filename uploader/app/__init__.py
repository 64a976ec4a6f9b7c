"""The composition root: the only place that knows the settings and everything else."""
