"""File formats at the edge: reading images and labels with every fault refused, and writing masks, atomically."""
