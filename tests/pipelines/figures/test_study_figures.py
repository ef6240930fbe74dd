"""Every figure of a small study is written, and read again as a picture."""

from __future__ import annotations

from PIL import Image

from pipelines.figures.study_figures import write_study_figures
from pipelines.loss_study.study import gather_study
from tests.pipelines.loss_study.tiny_losses import tiny_study


def test_all_figures_of_a_study(tmp_path) -> None:
    runs = tiny_study(tmp_path, ("ce:weights=[1,3]", "dice"))
    files = write_study_figures(tmp_path / "figures", runs, gather_study(runs, reach=0.5))
    names = {file.stem for file in files}
    maps = {
        f"maps_{kind}_case_{case}_" for kind in ("loss", "confidence", "gradient", "difference") for case in range(2)
    }
    assert names == {
        *("progress", "loss_curves", "reliability", "landscape_random", "landscape_trajectory"),
        *maps,
    }
    for file in files:
        with Image.open(file) as picture:
            picture.verify()
            assert min(picture.size) > 100
