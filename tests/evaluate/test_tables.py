import numpy as np

from universeg_jax.data.corpus.read import CorpusTask
from universeg_jax.evaluate.metrics import METRICS
from universeg_jax.evaluate.report import picture_files
from universeg_jax.evaluate.summary import Condition, Estimate, summarise
from universeg_jax.evaluate.tables import Table, condition_name, dice_table, task_table, with_interval

TABLE = Table("100 % of a_b", ["", "x|y"], [["row & 1", "0.5"]])


def test_pictures_of_tasks_with_like_names_do_not_replace_each_other():
    tasks = [CorpusTask("d", "image", "2d", name) for name in ("cell+", "cell-", "nucleus")]
    files = picture_files(tasks)
    assert len(set(files.values())) == 3
    assert files[tasks[2]] == "pictures/d_image_2d_nucleus.png"


def test_markdown_latex_and_text():
    assert TABLE.markdown() == "**100 % of a_b**\n\n|  | x\\|y |\n| --- | --- |\n| row & 1 | 0.5 |\n"
    latex = TABLE.latex()
    assert r"\caption{100 \% of a\_b}" in latex
    assert r"row \& 1 & 0.5 \\" in latex
    assert TABLE.text() == "100 % of a_b\n         x|y\n-------  ---\nrow & 1  0.5"


def test_numbers():
    estimate = Estimate(np.full(5, 0.5), np.full(5, 0.25), np.full(5, 0.75))
    assert with_interval(estimate, 0) == "0.500 [0.250, 0.750]"
    assert with_interval(estimate, METRICS.index("hausdorff95")) == "0.5 [0.2, 0.8]"
    assert with_interval(Estimate(np.full(5, 0.5), None, None), 0, signed=True) == "+0.500"


def test_rows_of_results():
    cells = {
        task: {(subject, "c"): np.full(5, value) for subject in "stu"}
        for task, value in (("a/x/y/1", 0.2), ("a/x/y/2", 0.4), ("b/x/y/1", 0.9))
    }
    condition = Condition("m", 16, None)
    summary = summarise(cells)
    rows = task_table(condition, summary).rows
    assert [row[0] for row in rows] == [*cells, "mean over 3 tasks", "mean over 2 datasets"]
    assert rows[-2][2] == "0.500 [0.500, 0.500]"
    rows = dice_table({condition: summary, Condition("m", 64, 96): summary}).rows
    assert [row[0] for row in rows][3:] == ["a (dataset)", "mean over tasks", "mean over datasets"]
    assert condition_name(Condition("m", 64, 96)) == "m, support 64, pool of 96"
