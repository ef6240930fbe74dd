"""One label map out of many per image: rater files, methods, and what is written of each case."""
