"""`lexitrain ab serve`: a test of two models on the web."""

from __future__ import annotations

from typing import Annotated

import typer

from lexitrain.cli.options.ratios import ratio_of
from lexitrain.cli.terminal.console import errors_console


def serve(
    a: Annotated[
        str,
        typer.Option(
            "--a",
            metavar="MODEL",
            help="What b is compared with: a run, an adapter, a merged folder, a GGUF file, or an address such as "
            "http://localhost:8000/v1#model.",
        ),
    ],
    b: Annotated[str, typer.Option("--b", metavar="MODEL", help="The other model.")],
    data: Annotated[
        str,
        typer.Option(
            metavar="FILE|URL",
            help="The test's log: an SQLite file, made where there is none, or postgresql://user:password@host/name.",
        ),
    ] = "ab.db",
    experiment: Annotated[
        str, typer.Option(metavar="NAME", help="Of the test; a log may hold several.")
    ] = "ab",
    ratio: Annotated[
        str, typer.Option(metavar="A:B", help="In which learners are assigned.")
    ] = "1:1",
    plan: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="What `ab plan --json` wrote; kept in the log."),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="To offer. Repeatable; by default all that both know."),
    ] = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", min=1, max=65535)] = 8090,
    name: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST",
            help="Under which it is asked for from outside, such as ab.example.org. Repeatable.",
        ),
    ] = None,
    behind: Annotated[
        str,
        typer.Option(
            metavar="ADDRESSES",
            help="Of reverse proxies, whose word on who asks is taken: 127.0.0.1.",
        ),
    ] = "",
    token_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="With the token of the team's page; else it is LEXITRAIN_AB_TOKEN, else drawn and shown.",
        ),
    ] = None,
    title: Annotated[
        str, typer.Option(metavar="TEXT", help="Of the learners' page.")
    ] = "English tutor",
    consent: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help='Text that learners agree to, plain or as {"en": …, "vi": …}.'
        ),
    ] = None,
    keep_texts: Annotated[
        bool, typer.Option("--keep-texts", help="Keep sentences and answers; the consent says so.")
    ] = False,
    json_schema: Annotated[
        bool,
        typer.Option("--json-schema", help="Hold the answers of both to their tasks' schemas."),
    ] = False,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="Longest wait for an answer.")
    ] = 60.0,
    slots: Annotated[
        int,
        typer.Option(metavar="N", min=1, max=64, help="Prompts that llama.cpp answers together."),
    ] = 4,
    threads: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="That compute for one model; by default one a core."),
    ] = None,
    custom_task: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Tasks of your own. Their code is executed. Repeatable."),
    ] = None,
    per_learner: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="Requests a minute of one learner; 0: any number."),
    ] = 30,
    per_address: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="Requests a minute of one address; 0: any number."),
    ] = 600,
    at_once: Annotated[
        int, typer.Option(metavar="N", min=1, max=10_000, help="Requests under way at one arm.")
    ] = 64,
    max_p95: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", help="An arm is stopped where 5 % of its answers take longer."
        ),
    ] = 10.0,
    max_errors: Annotated[
        float, typer.Option(metavar="SHARE", help="And where more of its requests fail.")
    ] = 0.10,
    max_invalid: Annotated[
        float, typer.Option(metavar="SHARE", help="And where more of its answers cannot be read.")
    ] = 0.20,
) -> None:
    """Let learners use two models, each learner always the same one, until Ctrl-C.

    There is a page for learners, one for the team, and JSON for an app; docs/ab.md shows a two-week test.
    """
    out = errors_console()
    from lexitrain import GuardrailLimits, RequestLimits, serve_ab

    serve_ab(
        a,
        b,
        data=data,
        experiment=experiment,
        ratio=ratio_of(ratio),
        plan=plan,
        tasks=task or (),
        host=host,
        port=port,
        names=name or (),
        proxies=behind,
        token_file=token_file,
        title=title,
        consent=consent,
        keep_texts=keep_texts,
        json_schema=json_schema,
        seconds=timeout,
        slots=slots,
        threads=threads,
        custom_tasks=custom_task or (),
        limits=RequestLimits(learner=per_learner, address=per_address, at_once=at_once),
        guardrails=GuardrailLimits(seconds=max_p95, errors=max_errors, invalid=max_invalid),
        tell=lambda sentence: out.print(sentence, markup=False, soft_wrap=True),
    )
