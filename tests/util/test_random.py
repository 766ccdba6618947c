from universeg_jax.util.random import generator


def test_numbers_depend_on_the_key_alone():
    first = generator(0, "support", 3).integers(2**40)
    generator(0, "support", 4).random(100)
    assert generator(0, "support", 3).integers(2**40) == first == 1014452471522
    assert len({generator(*key).integers(2**40) for key in [(0,), (1,), ("0",), (0, 0), (0, "a"), (0, "b")]}) == 6
