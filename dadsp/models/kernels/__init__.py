"""Systems of kernels, in closed form: similarities, the drug level, the linear system over pairs."""
