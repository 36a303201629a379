"""docs/quality.md, written from the saved results: `python -m benchmarks.quality_page`.

A test holds the page to the files, so that no number stands there that no file has.
"""

from __future__ import annotations

# ruff: noqa: E501 (the prose is wrapped where it is written)
import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "docs" / "quality.md"


def page() -> str:
    """The page's text."""
    return (
        "\n\n".join(
            [
                "# What was measured",
                "All on CPUs, on nano, the base of 2.4 million parameters inside this package. It says what the product and "
                "its statistics do; it says nothing about Qwen2.5 or about real learners. Written from the files named here "
                "by `python -m benchmarks.quality_page`.",
                _learnt(),
                _two_sizes(),
                *([_ranks()] if (RESULTS / "rank_sweep.json").is_file() else []),
                _comparisons(),
                _jfleg(),
                _generation(),
            ]
        )
        + "\n"
    )


def _read(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def _table(headings: list[str], rows: list[list[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _interval(score: dict[str, Any], digits: int = 3) -> str:
    if score["value"] is None:
        return "–"
    if score["low"] is None:
        return f"{score['value']:.{digits}f}"
    return f"{score['value']:.{digits}f} ({score['low']:.{digits}f} to {score['high']:.{digits}f})"


def _p(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}" if value >= 0.001 else "< 0.001"


def _learnt() -> str:
    found = _read("quality-nano")
    parts = [
        "## What nano learns",
        "The recipe `demo`, once on generated and once on real records (a part of eight public corpora), one seed. Whole "
        "test splits; intervals are 95 %; p is that of the exchange test against the untrained base, adjusted for the "
        "number of tasks. Files: `quality-nano.json`, made by `python -m benchmarks.quality`.",
    ]
    for side in ("generated", "real"):
        one = found[side]
        rows = []
        for name, task in one["tasks"].items():
            primary = task["trained"]["primary"]
            score = task["trained"]["scores"][primary]
            trivial = score["trivial"]
            rows.append(
                [
                    name,
                    primary.replace("_", " "),
                    _interval(task["base"]["scores"][primary]),
                    _interval(score),
                    "–" if trivial is None else f"{trivial:.3f}",
                    task["trained"]["learnt"],
                    _p((task["difference"] or {}).get("adjusted_p")),
                ]
            )
        parts.append(
            f"{side.capitalize()} records: {one['training_samples']:,} to train, {one['test_records']:,} to test."
        )
        parts.append(
            _table(["task", "score", "base", "trained", "trivial", "beside trivial", "p"], rows)
        )
    return "\n\n".join(parts)


def _two_sizes() -> str:
    found = _read("two_sizes")
    large, small = found["parameters"]["large"], found["parameters"]["small"]
    rows = [
        [
            name,
            task["primary"].replace("_", " "),
            _interval(task["large"]),
            _interval(task["small"]),
            task["sign"],
            task["no_worse_by_margin"],
        ]
        for name, task in found["tasks"].items()
    ]
    costs = found["costs"]
    ratio = costs["small"]["training_hours"] / costs["large"]["training_hours"]
    return "\n\n".join(
        [
            "## What a smaller base loses and saves",
            f"nano ({large / 1e6:.1f} million parameters) against a base of {small / 1e6:.1f} million made by the same "
            "script on 40 % of its text; both trained by `demo` on the generated records, one seed. Margin 0.05. File: "
            "`two_sizes.json`, made by `python -m benchmarks.two_sizes`.",
            _table(["task", "score", "large", "small", "small is", "no worse by 0.05"], rows),
            f"The small one took {ratio:.2f} times the training time, and its adapter is "
            f"{costs['small']['adapter_mb']:.1f} MB instead of {costs['large']['adapter_mb']:.1f} MB. The machine did "
            "other work meanwhile.",
        ]
    )


def _ranks() -> str:
    found = _read("rank_sweep")
    rows = []
    for point in found["points"]:
        loss = point["loss"]
        rows.append(
            [
                ", ".join(str(value) for value in point["values"].values()),
                f"{loss['mean']:.4f} ({loss['low']:.4f} to {loss['high']:.4f})",
                f"{point['trainable_parameters']:,}",
            ]
        )
    least = found["diminishing_from"]
    said = (
        "No rank is shown to be better than a smaller one."
        if least is None
        else f"From {json.dumps(least)} on no larger rank is shown to be better."
    )
    return "\n\n".join(
        [
            "## What the adapter's rank buys",
            "Validation loss after `demo` on the generated records, alpha following the rank, three seeds each; intervals "
            "are Student's over seeds. File: `rank_sweep.json` and `rank_sweep.svg`, made by `python -m "
            "benchmarks.rank_sweep`.",
            _table(["rank", "validation loss", "trained parameters"], rows),
            said,
        ]
    )


def _comparisons() -> str:
    found = _read("comparisons")
    rows = [
        [
            what,
            str(each["learners"]),
            f"{100 * each['found']:.1f} %",
            f"{100 * each['interval_misses_0']:.1f} %",
        ]
        for what, cases in found["equal_models"].items()
        for each in cases
    ]
    worse = found["five_points_worse"]
    margin = ", ".join(
        f"{100 * each['called_no_worse']:.1f} % with {each['learners']} learners"
        for each in found["at_the_margin"]
    )
    stated = worse["records_stated"]
    runs = found["equal_models"]["F0.5"][0]["runs"]
    return "\n\n".join(
        [
            "## Whether comparisons err as often as they say",
            f"Simulated comparisons of clustered records, {runs:,} each: learners with one to eight sentences. Of models "
            "that are equally good a difference is found in about 5 %. File: `comparisons.json`, made by `python -m "
            "benchmarks.comparisons`.",
            _table(["score", "learners", "difference found", "interval misses 0"], rows),
            f"A model that is five points worse was found in {100 * worse['power']:.1f} % of {worse['runs']:,} runs, at "
            f"the number of records that a first comparison of {worse['learners_in_first_comparison']} learners had "
            f"stated (median {stated['median']:,.0f}). A model that is worse by exactly the margin was called no worse "
            f"in {margin}.",
        ]
    )


def _jfleg() -> str:
    found = _read("jfleg")
    unchanged, published = found["unchanged"], found["published_gleu"]
    return "\n\n".join(
        [
            "## GLEU beside the published figures",
            f"JFLEG's test split, {found['sentences']} sentences with four references. File: `jfleg.json`, made by "
            "`python -m benchmarks.jfleg`.",
            _table(
                ["", "here", "package `gleu`", "published"],
                [
                    [
                        "unchanged sentences",
                        f"{unchanged['gleu']:.2f}",
                        f"{unchanged['gleu_by_oracle']:.2f}",
                        str(published["unchanged"]),
                    ],
                    [
                        "people, each against the other three",
                        f"{found['people_mean_gleu']:.2f}",
                        f"{found['people_mean_gleu_by_oracle']:.2f}",
                        str(published["people"]),
                    ],
                ],
            ),
        ]
    )


def _generation() -> str:
    found = _read("generation")
    batching = found["batching"]
    rows = [
        [
            each["vocabulary"],
            str(each["rows"]),
            f"{each['free']['milliseconds_a_step']:.1f} ms",
            f"{each['schema']['milliseconds_a_step']:.1f} ms",
            f"{each['schema']['masks_milliseconds_a_step']:.2f} ms",
        ]
        for each in found["schema"]
    ]
    return "\n\n".join(
        [
            "## Answering in batches, and held to a schema",
            f"{batching['prompts']} prompts on nano, {found['threads']} thread(s): in batches of {batching['batch']} "
            f"{batching['ratio']:.1f} times the tokens a second of each prompt alone; {batching['equal_answers']} of "
            f"{batching['prompts']} answers are the same token for token, {len(batching['ties'])} differ at a tie. What "
            "the schema costs a step, of which its masks. File: `generation.json`, made by `python -m "
            "benchmarks.generation`.",
            _table(["vocabulary", "rows", "free", "schema", "masks"], rows),
        ]
    )


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
