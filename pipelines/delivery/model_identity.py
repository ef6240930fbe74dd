"""Which model made a result: its version, the hash of what it is made of, and what its labels are called."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.prediction.loading import ModelFacts, read_record, read_run_config
from pipelines.runs.record import CONFIG_FILE
from pipelines.trust.archive import unpacked
from pipelines.trust.bundle_scan import METADATA_FILE
from pipelines.trust.config_files import read_config
from pipelines.trust.fingerprint import bundle_sha256, file_sha256
from transforms.io.input_error import InputError
from transforms.io.segment_codes import SegmentCode, codes_of_metadata, segment_codes

RUN_VERSION = "run"
# What people call a modality, and its DICOM code.
_MODALITIES = {"mr": "MR", "mri": "MR", "ct": "CT", "pt": "PT", "pet": "PT", "us": "US", "oct": "OPT", "opt": "OPT"}


@dataclass(frozen=True)
class ModelIdentity:
    """A model as a result names it.

    Attributes:
        name: as the bundle's metadata tell, or of the run folder; of several, all of them.
        version: as the bundle's metadata tell; ``run`` for what was not exported.
        sha256: of the content, in hexadecimal; the same wherever the folder lies.
        codes: what the labels are called.
        modalities: DICOM codes of what it was trained on, as ``MR``; empty when it does not say.
    """

    name: str
    version: str
    sha256: str
    codes: tuple[SegmentCode, ...]
    modalities: tuple[str, ...] = ()

    def require_modality(self, found: str, asked: str | None) -> None:
        """Refuse images of another kind than the model was trained on: its masks would be noise.

        Args:
            found: modality of the series.
            asked: the one that the user has asked for by name, who must know.

        Raises:
            InputError: when it is another than the model's, and the user has not asked for it.
        """
        if self.modalities and found not in self.modalities and found != asked:
            told = " or ".join(self.modalities)
            raise InputError(
                "--input", f"is {found}, and {self.name} was trained on {told}; --modality {found} takes it"
            )


def model_identity(sources: Sequence[Path], facts: ModelFacts) -> ModelIdentity:
    """Identify what ``sources`` are; the first of several says what the labels are called.

    Raises:
        InputError: when the codes in its metadata or configuration are none.
    """
    members = []
    for source in sources:
        with unpacked(source) as opened:
            members.append(_identified(source, opened, facts.class_names))
    if len(members) == 1:
        return members[0]
    return ModelIdentity(
        " + ".join(member.name for member in members),
        " + ".join(dict.fromkeys(member.version for member in members)),
        hashlib.sha256(" ".join(member.sha256 for member in members).encode()).hexdigest(),
        members[0].codes,
        members[0].modalities,
    )


def _identified(source: Path, opened: Path, names: Mapping[int, str]) -> ModelIdentity:
    digest = file_sha256(opened) if opened.is_file() else bundle_sha256(opened)
    run = opened.resolve().parent.parent if opened.is_file() else opened.resolve()
    try:
        if (run / CONFIG_FILE).is_file():
            codes = segment_codes(names, _table(read_run_config(run).get("label_codes")))
            data = read_record(run).get("data", {})
            return ModelIdentity(run.name, RUN_VERSION, digest, tuple(codes), _modalities(data.get("modality")))
        metadata = read_config(run / METADATA_FILE)
        name, version = (str(metadata.get(key) or "unknown") for key in ("name", "version"))
        image = metadata["network_data_format"]["inputs"].get("image", {})
        codes = codes_of_metadata(metadata)
        return ModelIdentity(name, version, digest, tuple(codes), _modalities(image.get("modality")))
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        if isinstance(fault, InputError):
            raise
        raise InputError(source, f"its label codes are none: {fault}") from fault


def _modalities(told: Any) -> tuple[str, ...]:
    """Give the codes of what a data set or a bundle calls its modality, a text or a list of texts."""
    texts = [told] if isinstance(told, str) else told if isinstance(told, list) else []
    words = {word.strip().lower() for text in texts for word in str(text).replace("/", ",").split(",")}
    known = {_MODALITIES.get(word) for word in words}
    # One word that is no modality (T1, image) leaves it open what else is right.
    return () if None in known else tuple(sorted(code for code in known if code))


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
