"""The folder that a training leaves, and what is written into it. ``RunRecord`` is what configurations name."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(__name__, submod_attrs={"record": ["RunRecord"]})
