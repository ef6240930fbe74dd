"""Registration of one image to another, and the transfer of labels along it."""
