"""What has parameters or gradients: layers < blocks < nets, and losses. Imports no other folder of this project."""
