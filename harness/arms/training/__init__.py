"""What all trained arms share: the loop, its callbacks, losses, packing, memory and the order of examples."""
