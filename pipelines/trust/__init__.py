"""Looking through models that came from elsewhere, before anything of theirs is parsed, loaded or run."""
