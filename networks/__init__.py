"""What has parameters or gradients: layers < nets, and losses. Imports no other folder of this project."""
