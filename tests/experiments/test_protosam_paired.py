from experiments.protosam.paired import BEST, page


def test_the_page_counts_the_draws_in_which_ours_is_ahead():
    ours, plain = [0.5, 0.7, 0.9, 0.9, 0.9, 0.6], [0.6, 0.6, 0.6, 0.6, 0.7, 0.1]
    text = page({"organs, liver": {"refined": [ours, plain], "coarse": [[0.4], [0.4]]}})
    refined, coarse = (line for line in text.splitlines() if line.startswith("| organs, liver |"))
    assert text.index("## Refined") < text.index(refined) < text.index("## Coarse") < text.index(coarse)
    assert "| 0.750 [0.50, 0.90] | 0.533 [0.10, 0.70] | 5 of 6 |" in refined
    assert refined.endswith(f"| 0.780 [0.50, 0.90] | 0.620 [0.60, 0.70] | 4 of {BEST} |")  # all but the last draw
    assert coarse.endswith("| 0.400 [0.40, 0.40] | 0.400 [0.40, 0.40] | 0 of 1 |")
