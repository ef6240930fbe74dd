"""The folders of crossMoDA and VS-SEG: which case is in which split, and what is refused."""

import shutil

import pytest

from pipelines.data.crossmoda import read_crossmoda
from pipelines.data.integrity import check_dataset
from tests.pipelines.data.vestibular_phantom import write_crossmoda, write_vs_seg
from transforms.io.input_error import InputError, InputErrors


def listed(dataset):
    return {split: [c.case_id for s, c in dataset.cases if s == split] for split in {s for s, _ in dataset.cases}}


SOURCES = ["crossmoda_1_ceT1", "crossmoda_2_ceT1", "crossmoda_3_ceT1"]
TARGETS = ["crossmoda_106_hrT2", "crossmoda_107_hrT2"]
CHALLENGE = {
    "both": {"training": SOURCES, "unlabeled": TARGETS, "validation": ["crossmoda_211_hrT2"]},
    "source": {"training": SOURCES},
    "target": {"unlabeled": TARGETS, "validation": ["crossmoda_211_hrT2"]},
}


@pytest.mark.parametrize("domain", CHALLENGE)
def test_challenge(tmp_path, domain):
    write_crossmoda(tmp_path)
    dataset = read_crossmoda(tmp_path, domain)
    assert listed(dataset) == CHALLENGE[domain]
    assert dict(dataset.labels) == {0: "background", 1: "vestibular schwannoma", 2: "cochlea"}
    assert all(path.is_file() for _, case in dataset.cases for path in case.files)
    assert not check_dataset(dataset).faults


def test_challenge_as_its_archives_unpack(tmp_path):
    write_crossmoda(tmp_path / "crossmoda_training")
    (tmp_path / "crossmoda_validation").mkdir()
    held_out = tmp_path / "crossmoda_validation" / "target_validation"
    shutil.move(tmp_path / "crossmoda_training" / "target_validation", held_out)
    (held_out / "crossmoda_211_Label.nii.gz").unlink()
    assert listed(read_crossmoda(tmp_path)) == {
        "training": SOURCES, "unlabeled": TARGETS, "test": ["crossmoda_211_hrT2"]
    }  # fmt: skip


def test_target_labels_are_taken_when_the_target_alone_is_asked_for(tmp_path):
    write_crossmoda(tmp_path)
    folder = tmp_path / "target_training"
    shutil.copy(tmp_path / "source_training" / "crossmoda_1_Label.nii.gz", folder / "crossmoda_106_Label.nii.gz")
    assert listed(read_crossmoda(tmp_path, "target"))["training"] == TARGETS[:1]
    assert all(case.label is None for case in read_crossmoda(tmp_path).unlabeled)


COLLECTION = {
    "both": {"training": ["vs_gk_1_t1", "vs_gk_2_t1"], "unlabeled": ["vs_gk_1_t2", "vs_gk_2_t2"]},
    "source": {"training": ["vs_gk_1_t1", "vs_gk_2_t1"]},
    "target": {"training": ["vs_gk_1_t2"], "unlabeled": ["vs_gk_2_t2"]},
}


@pytest.mark.parametrize("domain", COLLECTION)
def test_collection(tmp_path, domain):
    write_vs_seg(tmp_path)
    dataset = read_crossmoda(tmp_path, domain)
    assert listed(dataset) == COLLECTION[domain]
    assert dict(dataset.labels) == {0: "background", 1: "vestibular schwannoma"}
    assert {case.patient for _, case in dataset.cases} == {"vs_gk_1", "vs_gk_2"}
    assert not check_dataset(dataset).faults


def renamed(old, new):
    return lambda root: (root / old).rename(root / new)


REFUSED = {
    "no label": (lambda root: (root / "source_training/crossmoda_1_Label.nii.gz").unlink(),
                 "crossmoda_1_ceT1.nii.gz: its label crossmoda_1_Label does not exist"),
    "no scan": (lambda root: (root / "target_validation/crossmoda_211_hrT2.nii.gz").unlink(),
                "crossmoda_211_Label.nii.gz: is a label whose scan"),
    "other number": (renamed("target_training/crossmoda_106_hrT2.nii.gz", "target_training/crossmoda_9_hrT2.nii.gz"),
                     "crossmoda_9_hrT2.nii.gz: does not belong to target_training, whose cases are 106 to 210"),
    "other modality": (renamed("target_training/crossmoda_106_hrT2.nii.gz",
                               "target_training/crossmoda_106_ceT1.nii.gz"), "is not named crossmoda_<N>_hrT2"),
    "2022": (renamed("target_training/crossmoda_106_hrT2.nii.gz",
                     "target_training/crossmoda2022_ldn_106_hrT2.nii.gz"), "is not named crossmoda_<N>_hrT2"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refuses(tmp_path, change, message):
    write_crossmoda(tmp_path)
    change(tmp_path)
    with pytest.raises(InputErrors) as refusal:
        read_crossmoda(tmp_path)
    assert message in str(refusal.value)


def test_refuses_what_is_not_there(tmp_path):
    with pytest.raises(InputError, match="holds no scan: neither source_training"):
        read_crossmoda(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        read_crossmoda(tmp_path / "none")
    with pytest.raises(InputError, match="--domain: must be one of both, source, target, got T1"):
        read_crossmoda(tmp_path, "T1")
    write_crossmoda(tmp_path)
    shutil.rmtree(tmp_path / "source_training")
    with pytest.raises(InputError, match="holds no scan of the source domain"):
        read_crossmoda(tmp_path, "source")
