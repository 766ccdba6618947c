"""`universeg-jax weights`: list, describe and download weights."""

import argparse


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser(
        "weights",
        help="list the known weights, print a model card, download",
        description="List the weights that have a name. With NAME, print its model card. "
        "`protosam` downloads the default weights of ProtoSAM.",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="name of weights, or `protosam`")
    parser.add_argument("--download", action="store_true", help="download NAME now, for later use without network")
    parser.set_defaults(run=run, prints=True)


def run(arguments: argparse.Namespace) -> None:
    """Run `weights`.

    Raises:
        InputError: unknown name, or weights that cannot be downloaded.
    """
    # Imported here so that --help need not wait for JAX.
    from universeg_jax.errors import InputError
    from universeg_jax.weights import card, known_weights, load
    from universeg_jax.weights.loading import PROTOSAM

    if arguments.name == "protosam":
        arguments.name, arguments.download = PROTOSAM, True
    if arguments.download and arguments.name is None:
        raise InputError("--download needs the name of the weights to download: universeg-jax weights NAME --download")
    if arguments.name is None:
        rows = [(known.name, known.licence, known.state) for known in known_weights()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        return
    text = card(arguments.name)
    if not arguments.download:
        print(text, end="")
        return
    load(arguments.name)
    state = next(known.state for known in known_weights() if known.name == arguments.name)
    print(f"{arguments.name}: {state}")
