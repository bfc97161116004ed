"""The fast float32 path for small models on a processor, behind `resources.cpu_kernels`."""
