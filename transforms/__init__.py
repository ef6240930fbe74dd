"""Maps of arrays without learning. The names below are public: configurations refer to them as ``transforms.NAME``.

``Foo`` takes channel-first arrays ``(C, H, W[, D])`` and gives back the kind that it was given (numpy, torch or
``MetaTensor``); ``Food`` does the same for the ``keys`` of a dictionary. File formats are in :mod:`transforms.io`.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "class_entropy": ["ClassEntropy", "ClassEntropyd"],
        "foreground_patches": ["RandForegroundPatch", "RandForegroundPatchd"],
        "keep_largest": ["KeepLargestComponent", "KeepLargestComponentd"],
        "label_presence": ["LabelPresence", "LabelPresenced"],
        "majority_vote": ["MajorityVote", "MajorityVoted"],
        "mind_features": ["MINDFeatures", "MINDFeaturesd"],
        "rand_affine_bspline": ["RandAffineBSpline", "RandAffineBSplined"],
        "rand_label_noise": ["RandLabelNoise", "RandLabelNoised"],
        "rand_slice_affine": ["RandSliceAffined"],
        "resize_label": ["ResizeLabel", "ResizeLabeld"],
        "signed_distance_map": ["SignedDistanceMap", "SignedDistanceMapd"],
        "signed_distance_to_mask": ["SignedDistanceToMask", "SignedDistanceToMaskd"],
        "slice_stack": ["SliceStack", "SliceStackd"],
        "staple": ["Staple", "Stapled"],
        "vessel_distance_map": ["VesselDistanceMap", "VesselDistanceMapd"],
        "weighted_vote": ["WeightedVote", "WeightedVoted"],
    },
)
