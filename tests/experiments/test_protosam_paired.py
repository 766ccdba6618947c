from experiments.protosam.paired import BEST, page


def test_the_page_counts_the_draws_in_which_ours_is_ahead():
    ours, plain = [0.5, 0.7, 0.9, 0.9], [0.62, 0.60, 0.61, 0.1]
    text = page({"organs, liver": {"refined": [ours, plain], "coarse": [[0.4], [0.4]]}})
    refined, coarse = (line for line in text.splitlines() if line.startswith("| organs, liver |"))
    assert text.index("## Refined") < text.index(refined) < text.index("## Coarse") < text.index(coarse)
    assert "| 0.750 [0.50, 0.90] | 0.483 [0.10, 0.62] | 3 of 4 |" in refined
    assert BEST == 3
    assert refined.endswith("| 0.700 [0.50, 0.90] | 0.610 [0.60, 0.62] | 2 of 3 |")  # all but the last draw
    assert coarse.endswith("| 0.400 [0.40, 0.40] | 0.400 [0.40, 0.40] | 0 of 1 |")
