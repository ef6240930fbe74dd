from __future__ import annotations

from pipelines.data.data_parameters_table import ParameterRow
from pipelines.figures.parameters import draw_histogram, draw_scatter, parameter_pictures, write_parameter_pictures
from pipelines.figures.png import png_bytes


def rows(disturbed: int = 3, dice: bool = True, learnt: bool = True) -> list[ParameterRow]:
    return [
        ParameterRow(
            "case",
            f"r{number}",
            parameter=0.1 * number if learnt else None,
            true_dice=0.05 * number if dice else None,
            disturbed=number < disturbed,
        )
        for number in range(10)
    ]


def test_the_histogram_shows_both_kinds_and_how_well_they_are_told_apart():
    figure = draw_histogram(rows())
    assert figure is not None
    (axis,) = figure.axes
    assert axis.get_title(loc="left") == "mean 0.45, sd 0.29, AUC 1.000"
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["sound (7)", "disturbed (3)"]
    assert sum(patch.get_height() for patch in axis.patches) == 10
    assert all(tick == int(tick) for tick in axis.get_yticks())  # labels are counted


def test_without_disturbed_labels_there_is_no_auc():
    figure = draw_histogram(rows(disturbed=0))
    assert figure is not None
    assert figure.axes[0].get_title(loc="left") == "mean 0.45, sd 0.29"


def test_equal_parameters_are_drawn_too():
    figure = draw_histogram([ParameterRow("case", str(number), parameter=0.0) for number in range(4)])
    assert figure is not None
    assert png_bytes(figure).startswith(b"\x89PNG")


def test_the_scatter_shows_the_correlation():
    figure = draw_scatter(rows())
    assert figure is not None
    assert figure.axes[0].get_title(loc="left") == "Spearman 1.000, Pearson 1.000 (10 labels)"
    assert [len(points.get_offsets()) for points in figure.axes[0].collections] == [7, 3]


def test_what_is_not_known_is_not_drawn(tmp_path):
    assert draw_histogram(rows(learnt=False)) is None
    assert draw_scatter(rows(dice=False)) is None
    assert [path.name for path in write_parameter_pictures(tmp_path, rows(dice=False))] == [
        "data_parameters_histogram.png"
    ]
    assert write_parameter_pictures(tmp_path / "none", rows(learnt=False)) == []


def test_the_report_takes_what_there_is(tmp_path):
    assert parameter_pictures(tmp_path) == []
    written = write_parameter_pictures(tmp_path, rows())
    found = parameter_pictures(tmp_path)
    assert [picture.png for picture in found] == [path.read_bytes() for path in written]
    assert [picture.title for picture in found] == ["Data parameters of all labels", "Data parameter against true Dice"]
