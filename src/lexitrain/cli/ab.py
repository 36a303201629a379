"""`lexitrain ab`: an A/B test of two models with learners: plan it, read it; `ab_serve.py` serves it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lexitrain.cli.ab_serve import serve
from lexitrain.cli.options.json_output import AS_JSON
from lexitrain.cli.options.ratios import ratio_of
from lexitrain.cli.terminal.console import console, print_json
from lexitrain.errors import LIMIT_NOT_MET, InputError

if TYPE_CHECKING:
    from lexitrain import AbTraffic

app = typer.Typer(
    name="ab",
    help="Let learners decide between two models: plan an A/B test, serve it, and read it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

_ALIKE = 0.2
"""Correlation of two answers of one learner where nobody has measured it."""


@app.command()
def plan(
    effect: Annotated[
        str,
        typer.Option(
            metavar="D|P%",
            help="Smallest difference worth finding, in units of the metric (0.05: five points) or P% of the baseline.",
        ),
    ],
    baseline: Annotated[
        float | None, typer.Option(metavar="V", help="The metric in the first arm, as 0.62.")
    ] = None,
    metric: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="helpful, fixed, corrected (shares); stars, seconds (means)."
        ),
    ] = "helpful",
    sd: Annotated[
        float | None, typer.Option(metavar="S", help="Of a mean: standard deviation of one value.")
    ] = None,
    learners_per_day: Annotated[
        float | None,
        typer.Option(
            "--learners-per-day", metavar="N", help="New learners a day, both arms together."
        ),
    ] = None,
    learners: Annotated[
        int | None, typer.Option(metavar="N", help="Most learners that there are.")
    ] = None,
    visits: Annotated[
        float | None, typer.Option(metavar="N", help="Requests of a learner during the test, mean.")
    ] = None,
    visits_sd: Annotated[
        float | None,
        typer.Option("--visits-sd", metavar="S", help="And their standard deviation."),
    ] = None,
    alike: Annotated[
        float | None,
        typer.Option(metavar="R", help="Correlation of two values of one learner, 0 to 1."),
    ] = None,
    rated: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Share of requests that get a value.")
    ] = None,
    former: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="FILE|URL", help="Take what is not given from a former test."
        ),
    ] = None,
    power: Annotated[float, typer.Option(metavar="P", help="Chance to find the difference.")] = 0.8,
    alpha: Annotated[
        float, typer.Option(metavar="A", help="Chance to find one where there is none.")
    ] = 0.05,
    ratio: Annotated[
        str, typer.Option(metavar="A:B", help="In which learners are assigned.")
    ] = "1:1",
    fixed: Annotated[
        bool,
        typer.Option("--fixed", help="The test will be read once, at its end; else at any time."),
    ] = False,
    most_days: Annotated[
        int,
        typer.Option("--most-days", metavar="N", min=1, help="Beyond which a test is hopeless."),
    ] = 90,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Learners and days that a test takes, read once or at any time, before it is begun.

    Exit code 3: so many learners do not come in time; what can be found instead is told.
    """
    from lexitrain import AbQuestion, plan_ab

    known = _Known(metric, former)
    baseline = known.number("baseline", baseline, "--baseline")
    question = AbQuestion(
        metric=metric,
        baseline=baseline,
        effect=_effect(effect, baseline),
        deviation=known.deviation(sd),
        alpha=alpha,
        power=power,
        ratio=ratio_of(ratio),
    )
    traffic = known.traffic(
        learners_a_day=learners_per_day,
        visits=visits,
        visits_deviation=visits_sd,
        told=rated,
        alike=alike,
        learners=learners,
    )
    planned = plan_ab(
        question, traffic, kind="fixed" if fixed else "sequential", most_days=most_days
    )
    if as_json:
        print_json({**planned.to_json(), "assumed": known.assumed})
    else:
        from lexitrain.cli.views.ab import print_ab_plan

        print_ab_plan(console(), planned, known.assumed)
    if planned.hopeless:
        raise typer.Exit(LIMIT_NOT_MET)


app.command()(serve)


@app.command()
def report(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE|URL",
            help="The log that `ab serve` keeps, or an exported test, JSON lines (docs/ab.md).",
        ),
    ],
    experiment: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of the test, where a log holds several.")
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The plan, as `ab plan --json` printed it."),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            metavar="M", help="How much worse is no worse, in units of the metric that decides."
        ),
    ] = None,
    slower: Annotated[
        float,
        typer.Option(metavar="T", help="Harm: a p95 latency so many times that of the other arm."),
    ] = 1.5,
    p95: Annotated[
        float | None, typer.Option(metavar="S", help="Harm: a p95 latency above so many seconds.")
    ] = None,
    errors: Annotated[
        float, typer.Option(metavar="SHARE", help="Harm: so many more requests without an answer.")
    ] = 0.01,
    invalid_json: Annotated[
        float,
        typer.Option(
            "--invalid-json",
            metavar="SHARE",
            help="Harm: so many more answers that cannot be read.",
        ),
    ] = 0.02,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for ab.html and ab.json.")
    ] = None,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """What a test says now: better, worse, no worse, not enough yet, or not to be trusted. It may be asked at any time.

    Exit code 3: the test cannot be trusted, or an arm does harm.
    """
    from lexitrain import AbLimits, read_ab, read_planned, report_ab

    limits = AbLimits(
        error_rate=errors,
        invalid_json_rate=invalid_json,
        slower=slower,
        p95_seconds=p95,
    )
    planned = None if plan is None else read_planned(plan)
    seen = read_ab(file, experiment)
    found = report_ab(seen, planned=planned, margin=margin, limits=limits)
    if as_json:
        print_json(found.to_json())
    else:
        from lexitrain.cli.views.ab import print_ab_report

        print_ab_report(console(), found)
    if out is not None:
        from lexitrain import write_ab_page

        page = write_ab_page(found, out / "ab.html")
        found.save(out)
        if not as_json:
            console().print(
                f"Saved to {page}, the same as JSON beside it.", markup=False, soft_wrap=True
            )
    if found.verdict.kind in {"broken", "stop"}:
        raise typer.Exit(LIMIT_NOT_MET)


class _Known:
    """What was given, else what a former test says, else what is assumed, which is told."""

    def __init__(self, metric: str, former: str | None) -> None:
        self.assumed: list[str] = []
        self._metric = metric
        self._former: dict[str, Any] = {}
        if former is not None:
            from lexitrain import former_test, read_ab

            found = former_test(read_ab(former), metric)
            self._former = {**asdict(found), **asdict(found.traffic)}

    def number(self, name: str, given: float | None, option: str) -> float:
        """A number that must be known."""
        value = self._former.get(name) if given is None else given
        if value is None:
            raise InputError(
                f"A plan needs {option}.",
                where=option,
                fix="Give it, or --from FILE with a former test.",
            )
        return float(value)

    def deviation(self, given: float | None) -> float | None:
        """Of one value; None of a share, whose baseline says it."""
        from lexitrain import is_share

        if is_share(self._metric):
            if given is not None:
                raise InputError("The baseline of a share says its deviation.", where="--sd")
            return None
        return self._former.get("deviation") if given is None else given

    def traffic(self, **given: Any) -> AbTraffic:
        """Who comes."""
        from lexitrain import AbTraffic

        said = {name: value for name, value in given.items() if value is not None}
        values: dict[str, Any] = {
            "learners_a_day": self.number(
                "learners_a_day", given["learners_a_day"], "--learners-per-day"
            )
        }
        visits = self._taken("visits", said, 1.0, "every learner asks once (--visits)")
        values["visits"] = visits
        spread = max(0.0, visits * (visits - 1)) ** 0.5
        if visits > 1:
            values["visits_deviation"] = self._taken(
                "visits_deviation", said, spread,
                f"visits differ as those of learners who leave at random do (--visits-sd {spread:.1f})",
            )  # fmt: skip
            values["alike"] = self._taken(
                "alike", said, _ALIKE, f"two values of one learner correlate by {_ALIKE} (--alike)"
            )
        values["told"] = self._taken("told", said, 1.0, "every request gets a value (--rated)")
        return AbTraffic(
            **{**values, **{name: said[name] for name in said if name != "learners_a_day"}}
        )

    def _taken(self, name: str, said: dict[str, Any], otherwise: float, words: str) -> float:
        if name in said:
            return float(said[name])
        if name in self._former:
            return float(self._former[name])
        self.assumed.append(words)
        return otherwise


def _effect(text: str, baseline: float) -> float:
    """In units of the metric."""
    plain = text.strip()
    try:
        if plain.endswith("%"):
            return float(plain.removesuffix("%")) / 100 * baseline
        return float(plain)
    except ValueError as error:
        raise InputError(
            f"'{text}' is no difference.",
            where="--effect",
            fix="Write 0.05 (five points of a share), -0.5 (half a star less) or 10% (of the baseline).",
        ) from error
