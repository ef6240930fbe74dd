"""Show the whole path on phantoms or on your data: train, evaluate, export, run the bundle, report."""
