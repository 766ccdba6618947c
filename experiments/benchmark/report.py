"""Write the results as a table and as plots."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure


def write_table(path: Path, results: dict) -> None:
    """Write the Markdown page of the results of `__main__`."""
    machine = results["machine"]
    versions = {"Python": machine["python"], **machine["versions"]}
    lines = [
        "# Inference compared with the official PyTorch code",
        "",
        f"`{results['command']}`",
        "",
        f"{machine['processor']}, {machine['cores']} cores, {', '.join(machine['devices'])}; "
        + ", ".join(f"{name} {version}" for name, version in versions.items() if version)
        + ". float32; official code in inference mode with as many threads, eager and by torch.compile; medians of "
        "runs in turn in one process. Ratios compare; absolute times depend on what else the machine was doing. "
        "Differences are of logits, in units of their standard deviation.",
        "",
        "| targets | support | size | ours (s) | eager (s) | compiled (s) | eager / ours | range | by processor time "
        "| compiled / ours | range | by processor time | largest difference | less arithmetic | share of peak, ours "
        "| official |",
        "|---" * 16 + "|",
    ]
    for row in results["speed"]:
        cells = [row["targets"], row["entries"], row["size"], f"{row['ours_seconds']:.3f}"]
        cells += [f"{row[key]:.3f}" if key in row else "-" for key in ("official_seconds", "compiled_seconds")]
        for key, side in (("ratio", "official"), ("compiled_ratio", "compiled")):
            if key not in row:
                cells += ["-"] * 3
                continue
            low, high = row[f"{key}_range"]
            cells += [f"**{row[key]:.2f}**", f"{low:.2f}-{high:.2f}"]
            processor = f"{side}_processor_seconds"
            cells.append(f"{row[processor] / row['ours_processor_seconds']:.2f}" if processor in row else "-")
        cells.append(f"{row['difference']:.0e}" if "difference" in row else "-")
        cells.append(f"{row['official_multiply_adds'] / row['multiply_adds']:.1f}")
        for work, seconds in (("multiply_adds", "ours_seconds"), ("official_multiply_adds", "official_seconds")):
            known = seconds in row and "matmul_flops" in row
            cells.append(f"{2 * row[work] / row[seconds] / row['matmul_flops']:.0%}" if known else "-")
        lines.append(_row(cells))
    lines += [
        "",
        "Less arithmetic: multiply-adds of the official code over ours. Share of peak: multiply-adds a second over "
        "what a large matrix product reached just before.",
    ]
    lines += ["", "Time from the start of Python to the first logits:", ""]
    lines += ["| | support | compiled code cached | seconds |", "|---|---|---|---|"]
    lines += [
        _row([row["side"], row["entries"], "yes" if row["cached"] else "no", f"{row['seconds']:.1f}"])
        for row in results["first"]
    ]
    lines += ["", "Peak memory above what importing takes, each in its own process:", ""]
    lines += ["| | support | MB | seconds a call |", "|---|---|---|---|"]
    lines += [
        _row([row["side"], row["entries"], f"{row['peak_mb']:.0f}", f"{row['call']:.2f}"]) for row in results["memory"]
    ]
    lines += ["", "Exported files, one target with 16 support entries of 128 px:", ""]
    lines += ["| | MB | seconds a call | largest difference |", "|---|---|---|---|"]
    lines += [
        _row([row["way"], f"{row['megabytes'] or 0:.1f}", f"{row['seconds']:.3f}", f"{row['difference']:.0e}"])
        for row in results["artifacts"]
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_plot(path: Path, speed: Sequence[dict]) -> None:
    """Plot time against the size of the support and against the size of the image."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    one_target = [row for row in speed if row["targets"] == 1]
    _lines(left, [row for row in one_target if row["size"] == 128], "entries", "support entries, 128 px")
    _lines(right, [row for row in one_target if row["entries"] == 16], "size", "image size in pixels, 16 entries")
    figure.savefig(path, dpi=120)


def _lines(axes, rows: list[dict], key: str, label: str) -> None:
    rows = sorted(rows, key=lambda row: row[key])
    for side, marker in (("ours", "o"), ("official", "s")):
        known = [row for row in rows if f"{side}_seconds" in row]
        if known:
            axes.loglog(
                [row[key] for row in known], [row[f"{side}_seconds"] for row in known], marker=marker, label=side
            )
    axes.set_xticks([row[key] for row in rows], [str(row[key]) for row in rows], minor=False)
    axes.set_xticks([], minor=True)
    axes.set_xlabel(label)
    axes.set_ylabel("seconds for one target")
    axes.grid(alpha=0.3)
    axes.legend()


def _row(cells: Sequence) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"
