from experiments.input_pipeline import measure
from tests.helpers.array_corpus import small_corpus
from universeg_jax.data.episodes.draw import Episodes


def test_measure_counts_target_and_support():
    class Counted(Episodes):
        read = 0

        def __getitem__(self, number):
            Counted.read += 1 + 3
            return super().__getitem__(number)

    source = Counted(small_corpus(), seed=0, support_size=3)
    row = measure(source, batch_size=2, workers=0, seconds=0.1)
    assert row["workers"] == 0
    assert row["first_batch_seconds"] > 0
    assert 0 < row["images_per_second"] * 0.1 <= Counted.read
    assert row["images_per_processor_second"] > 0
    assert row["batch_seconds"] > 0 <= row["batch_deviation"]
