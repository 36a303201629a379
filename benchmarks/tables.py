"""The tables of the documents from the saved results: `python -m benchmarks.tables`.

In the document a table stands between `<!-- table NAME -->` and `<!-- end -->`. This script writes what is between the
two; a test compares it with the results, so that no number in a table can differ from the file it was saved in.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.against.result import halves, others
from benchmarks.markdown import on_what, result, table
from benchmarks.plan_tables import PLAN_TABLES

_DOCS = Path(__file__).parents[1] / "docs"
DOCUMENTS = tuple(
    _DOCS / f"{name}.md"
    for name in ("performance", "planning", "tuning", "export", "doctor", "build")
)
BLOCK = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


_FEWEST = 3
"""A ratio over fewer timed steps is not told: one step may be a short one, or a slow moment of the machine."""


def compare() -> str:
    """All competitors."""
    found = result("compare_cpu")
    rows: list[list[Any]] = []
    for name, row in found["competitors"].items():
        ratio = found["ratios"].get(f"fast / {name}", {})
        rows.append(
            [
                f"`{name}`: {row['what']}",
                row["timed_steps"],
                f"{row['samples_per_second']:.2f}",
                f"{row['supervised_tokens_per_second']:.0f}",
                f"{row['layout_tokens_per_step']:,.0f}",
                f"{row['peak_activation_mb']:,.0f}",
                _faster(ratio, row["timed_steps"]) if ratio else "1",
                ratio.get("peak_activation", ""),
            ]
        )
    head = (
        "",
        "timed steps",
        "samples/s",
        "supervised tokens/s",
        "tokens computed a step",
        "peak MB",
    )
    ours = ("`fast` is faster by", "memory over `fast`")
    return on_what(found) + table((*head, *ours), rows)


def _faster(ratio: dict[str, Any], timed: int) -> str:
    """A ratio of speeds with its range; a dash where it rests on too few steps."""
    if (ratio["same_steps"] or timed) < _FEWEST:
        return "–"
    return f"**{ratio['samples_per_second']}** ({ratio['lowest']} to {ratio['highest']})"


def losses() -> str:
    """How far the losses of competitors on the same samples differ."""
    rows = [
        [
            f"`{pair.replace(' = ', '` and `')}`",
            row["steps"],
            f"{row['largest_difference']:.1e}",
            f"{row['last'][0]:.4f}, {row['last'][1]:.4f}",
        ]
        for pair, row in result("compare_cpu")["losses"].items()
    ]
    return table(("same recipe, same samples", "steps", "largest difference", "last losses"), rows)


def shared_prompt() -> str:
    """Longer instructions."""
    found = result("shared_prompt")
    rows = [
        [
            point["extra_tokens"],
            f"{point['tree']['layout_tokens']:,.0f}",
            f"{point['tree']['step_seconds']:.2f}",
            f"{point['tree']['over_none']:.2f}",
            f"{point['packed']['layout_tokens']:,.0f}",
            f"{point['packed']['step_seconds']:.2f}",
            f"{point['packed']['over_none']:.2f}",
        ]
        for point in found["points"]
    ]
    head = ("more prompt tokens", "tree: tokens", "seconds", "over none")
    none, row = found["points"][0]["tree"], found["points"][0]["one_row"]
    longest = found["points"][-1]["tree"]["step_seconds"]
    return (
        on_what(found)
        + table((*head, "packed: tokens", "seconds", "over none"), rows)
        + f"\nWithout more tokens the tree is divided into {none['cuts']:.0f} cuts, each of which computes the shared "
        f"beginning. The same step in one row has {row['layout_tokens']:,.0f} tokens and takes "
        f"{row['step_seconds']:.2f} s. The tree with the longest instructions takes "
        f"{longest / row['step_seconds']:.2f} times as long as that.\n"
    )


def profile() -> str:
    """Where the time of a step goes."""
    found = result("step_profile")
    kinds = [[kind, f"{100 * share:.1f} %"] for kind, share in found["by_kind"].items()]
    return (
        on_what(found)
        + table(("kind of operator", "own time"), kinds)
        + f"\nProducts and attention together: {100 * found['products_and_attention']:.1f} %. A step "
        f"takes {found['step_seconds']:.2f} s for {found['tflop_per_step']:.3f} TFLOP: "
        f"{found['achieved_gflops']:.0f} GFLOP/s, "
        f"{100 * found['achieved_over_ceiling']:.0f} % of the {found['ceiling_gflops']:.0f} GFLOP/s that this machine "
        "reaches in a plain product of the same sizes.\n"
    )


def by_length() -> str:
    """Sample length."""
    found = result("step_curves")
    rows = [
        [
            f"{point['mean_length']:.0f}",
            f"{point['tree']['step_seconds']:.2f}",
            f"{point['packed']['step_seconds']:.2f}",
            f"{point['padded']['step_seconds']:.2f}",
            point["packed_over_tree"],
            point["padded_over_tree"],
        ]
        for point in found["curves"]["length"]
    ]
    head = ("mean tokens a sample", "tree, s", "packed, s", "padded, s")
    return on_what(found) + table((*head, "packed over tree", "padded over tree"), rows)


def by_batch() -> str:
    """Samples a step."""
    rows = [
        [
            point["batch"],
            f"{point['layout_tokens']:,.0f}",
            f"{point['step_seconds']:.2f}",
            point["sample_milliseconds"],
        ]
        for point in result("step_curves")["curves"]["batch"]
    ]
    return table(("samples a step", "tokens computed", "seconds", "ms a sample"), rows)


def by_setting() -> str:
    """Rank, depth and width."""
    curves = result("step_curves")["curves"]
    rows = [
        [f"{name} {point[name]}", point["million_parameters"], f"{point['step_seconds']:.2f}"]
        for name in ("rank", "layers", "hidden")
        for point in curves[name]
    ]
    return table(("setting", "million parameters of the base", "seconds a step"), rows)


def arithmetic() -> str:
    """Operations of a step at the real sizes, counted."""
    found = result("step_flops")
    rows = [
        [f"{point['mean_length']:.0f}", point["notebook_over_fast"], point["packed_over_tree"]]
        for point in found["curve"]["points"]
    ]
    return table(("mean tokens a sample", "notebook / fast", "packed / tree"), rows)


def busy_machine() -> str:
    """Training beside other work."""
    found = result("busy_machine")
    rows = [
        [
            what,
            f"{found[state]['tokens_per_second']['before']:,}",
            f"{found[state]['tokens_per_second']['now']:,}",
            found[state]["now / before"],
        ]
        for state, what in (
            ("busy", f"beside {found['busy_loops']} busy loops"),
            ("idle", "with nothing beside it"),
        )
    ]
    head = ("nano, demo's step", "tokens/s, OpenMP as it is", "tokens/s, as the product sets it")
    return on_what(found) + table((*head, "set / as it is"), rows)


def levers() -> str:
    """Levers of learning on nano: the loss at the end, and when they have the default's."""
    found = result("levers")
    rows = [
        [
            f"`{', '.join(row['changes'])}`" if row["changes"] else "default",
            f"{row['rate']:g}",
            f"{row['loss']['mean']:.4f} ({min(row['loss']['runs']):.4f} to {max(row['loss']['runs']):.4f})",
            ", ".join("never" if each is None else f"{each:.0%}" for each in row["reaches"]),
        ]
        for row in found["levers"].values()
    ]
    head = ("", "learning rate", "validation loss (lowest to highest seed)", "steps it takes")
    return on_what(found) + table(head, rows)


def exported() -> str:
    """What each type of GGUF file loses on nano, and how fast it answers."""
    found = result("export")
    files = [(each, "") for each in found["nano"]["files"]]
    files += [(each, ", importance") for each in found["nano"]["with_importance"]["files"]]
    rows: list[list[Any]] = []
    for file, how in files:
        far, speed = file["distances"], file["speed"]
        shown = sum(task["no_worse"] == "shown" for task in file["tasks"].values())
        rows.append(
            [
                f"{file['quantization']}{how}",
                f"{file['bytes'] / 1e6:.2f} MB",
                f"{far['mean_kl']:.1e}",
                f"{far['top_1']:.2%}",
                f"{file['equal_answers']:.1%}",
                f"{shown} of {len(file['tasks'])}",
                f"{speed['tokens_per_second']:,.0f}",
            ]
        )
    head = (
        "nano",
        "file",
        "KL",
        "same first choice",
        "equal answers",
        "no worse by 0.05 in",
        "tokens/s",
    )
    return on_what(found) + table(head, rows)


def written() -> str:
    """What writing files of a half-billion shape takes."""
    found = result("export")
    rows = [
        [
            file["quantization"],
            f"{file['bytes'] / 1e6:,.0f} MB",
            f"{file['seconds']:.1f} s",
            f"{file['largest_memory_mb']:,} MB",
            ", ".join(f"{count} × {name}" for name, count in file["types"].items()),
        ]
        for file in found["half_billion"]
    ]
    return table(("Qwen2.5-0.5B's shape", "file", "written in", "most memory", "tensors"), rows)


def slowness() -> str:
    """Planted slowness, and what the doctor says of it."""
    found = result("doctor")
    rows = [
        [
            f"{title}: `{plant['cause']}`",
            "yes" if plant["named_first"] else "no",
            f"{60 * plant['measured_minutes']:.1f} s",
            f"{60 * plant['told_minutes']:.1f} s",
            f"{plant['off']:.0%}",
        ]
        for title, plant in found["plants"].items()
    ]
    head = ("planted", "named first", "removing it gains", "told gain", "off by")
    return on_what(found) + table(head, rows)


def killed() -> str:
    """The kills of a build on real records."""
    found = result("build_killed")
    rows = [
        [number, kill["stage"], f"{kill['seconds_in_it']:.1f} s"]
        for number, kill in enumerate(found["kills"], start=1)
    ]
    return on_what(found) + table(("kill", "in the stage", "since it began"), rows)


def gpu() -> str:
    """The GPU's results, or that there are none."""
    found = result("gpu")
    if not found or found.get("dry_run"):
        return "GPU: not measured. No number on this page comes from one.\n"
    rows = [
        [
            f"`{name}`",
            row.get("samples_per_second", row.get("failed")),
            row.get("peak_activation_mb", ""),
        ]
        for name, row in found["everyone"]["competitors"].items()
    ]
    return on_what(found) + table(("0.5B", "samples/s", "peak activation MB"), rows)


def against() -> str:
    """Against Unsloth: the GPU's result where there is one, else our half on a CPU."""
    found = result("against-t4") or result("against-nano")
    parts = found["parts"]
    versions = parts["lexitrain"]["machine"]["versions"]
    named = ", ".join(f"{name} {versions[name]}" for name in ("torch", "transformers", "peft"))
    work = parts["data"]["work"]
    circumstances = parts["lexitrain"]["machine"]
    what = (
        f"Measured on {found['device']}, {found['cores']} cores, {found['threads'] or 'all'} threads, with a load of "
        f"{circumstances['load']:.1f} beforehand, {found['date']}; {named}. {found['settings']['base']}, "
        f"{work['samples']:,} samples, {work['epochs']} epochs, {work['steps']} steps of {work['effective_batch']}.\n\n"
    )
    head, *rows = halves(parts)
    said = "".join(f"- {line}.\n" for line in others(parts))
    return f"{what}{table(head, rows)}\n{said}"


TABLES: dict[str, Callable[[], str]] = {
    each.__name__: each
    for each in (
        compare,
        losses,
        shared_prompt,
        profile,
        by_length,
        by_batch,
        by_setting,
        arithmetic,
        busy_machine,
        gpu,
        against,
        levers,
        exported,
        written,
        slowness,
        killed,
    )
} | PLAN_TABLES


def made(name: str) -> str:
    """A table, or that its result is missing."""
    try:
        return TABLES[name]()
    except KeyError as error:
        return f"Not measured: no saved result has {error}.\n"


def filled(text: str) -> str:
    """The document with every table made anew."""
    return BLOCK.sub(lambda found: f"{found[1]}{made(found[2])}{found[3]}", text)


def main() -> None:
    """Write the tables into the documents."""
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        document.write_text(filled(text), encoding="utf-8")
        print(f"{document}: {len(BLOCK.findall(text))} tables")


if __name__ == "__main__":
    main()
