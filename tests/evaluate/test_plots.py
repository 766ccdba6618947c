import pytest

from universeg_jax.evaluate import report
from universeg_jax.evaluate.methods import Ensemble
from universeg_jax.evaluate.plots import dataset_bars, ensembling_gain, support_size_curve
from universeg_jax.evaluate.protocol import EvaluationProtocol
from universeg_jax.evaluate.runner import evaluate


@pytest.fixture
def measured(discs, threshold, tmp_path):
    """Measure a method and an ensemble of it."""
    methods = [threshold, Ensemble(threshold, 3)]
    return lambda **options: evaluate(discs(per_subject=1), methods, EvaluationProtocol(draws=1, **options), tmp_path)


def legend_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def lines_of(figure):
    return {line.get_label(): line for line in figure.axes[0].lines}


def test_bars_say_whose_they_are(measured):
    summary = next(iter(measured(support_sizes=(4,)).summaries.values()))
    assert legend_of(dataset_bars({"one": summary})) == ["one"]
    assert legend_of(dataset_bars({"one": summary, "other": summary})) == ["one", "other"]


def test_long_names_of_bars_stay_in_the_picture(measured):
    summary = next(iter(measured(support_sizes=(4,)).summaries.values()))
    figure = dataset_bars({f"{'a long name, ' * 3}{i}": summary for i in range(5)})
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1


def test_lines_of_datasets_are_those_of_the_longest_curve_and_say_so(measured):
    evaluation = measured(support_sizes=(1, 2, 4), pools=(2, 4))
    figure = support_size_curve(evaluation.summaries)
    names = legend_of(figure)
    assert names[:3] == ["threshold, pool of 4:", "cells", "skin"]
    assert lines_of(figure)["skin"].get_xdata().tolist() == [1, 2, 4]
    condition = next(c for c in evaluation.summaries if (c.support, c.pool) == (4, 4))
    assert lines_of(figure)["skin"].get_ydata()[-1] == evaluation.summaries[condition].datasets["skin"].mean[0]
    names = legend_of(ensembling_gain(evaluation.cells, "threshold", "threshold, ensemble of 3"))
    assert names[0] == "pool of 4:"


@pytest.mark.parametrize("sizes", [(4,), (2, 4)])
def test_what_an_ensemble_gains_has_an_interval(measured, sizes):
    evaluation = measured(support_sizes=sizes)
    (axes,) = ensembling_gain(evaluation.cells, "threshold", "threshold, ensemble of 3").axes
    (interval,) = axes.collections
    low, high = interval.get_datalim(axes.transData).intervaly
    assert low < high


def test_bars_leave_out_ensembles_of_whole_pools(measured, discs, threshold, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(report.plots, "dataset_bars", lambda named: shown.extend(named) or dataset_bars(named))
    evaluation = measured(support_sizes=(2, 4), pools=(4,))
    methods = [threshold, Ensemble(threshold, 3)]
    report.write_report(
        tmp_path, evaluation, discs(per_subject=1), methods, EvaluationProtocol(), about={}, with_pictures=False
    )
    assert shown == ["threshold, support 4, pool of 4", "threshold, ensemble of 3, support 2, pool of 4"]
