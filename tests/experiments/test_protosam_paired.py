from experiments.protosam.paired import page


def test_the_page_counts_the_draws_in_which_ours_is_ahead():
    text = page({"organs, liver": {"refined": [[0.5, 0.7, 0.9], [0.6, 0.6, 0.6]], "coarse": [[0.4], [0.4]]}})
    row = text.splitlines()[-1]
    assert row.startswith("| organs, liver | 0.700 [0.50, 0.90] | 0.600 [0.60, 0.60] | 2 of 3 |")
    assert row.endswith("| 0 of 1 |")
