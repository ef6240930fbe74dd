"""From a training run to a bundle that needs nothing but MONAI."""
