"""What the run was made with, and the commands that make it again: from environment.json and recipe.yaml."""

from __future__ import annotations

import re
import shlex
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from lexitrain.recipe import recipe_to_yaml
from lexitrain.reporting.run_page.blocks import Block, Code, Section, Sentence, Table
from lexitrain.reporting.run_page.plain_values import flat, mapping, number, sequence, text, whole

if TYPE_CHECKING:
    from lexitrain.reporting.run_page.content import RunContent, SavedEvaluation

_LONGEST_RECIPE = 20_000
_MOST_EVALUATIONS = 8


def environment_section(content: RunContent) -> Section:
    """Versions, device, cores, seed, commit."""
    environments = [(part, part.environment) for part in content.trained_parts if part.environment]
    if not environments:
        said = "There is no environment.json that can be read."
        return Section("Environment", "environment", [Sentence(said, "lacking")])
    part, first = environments[0]
    rows = [[name, value] for name, value in flat(first, 80)]
    of = f"{part.name}: " if content.parts else ""
    blocks: list[Block] = [Table(f"{of}Made with", ["what", "value"], rows, wide=frozenset({1}))]
    if any(other != first for _, other in environments[1:]):
        blocks.append(Sentence("The runs of the tasks were not all made with the same.", "lacking"))
    return Section("Environment", "environment", blocks)


def reproduction_section(content: RunContent) -> Section:
    """The commands, and the recipe as YAML."""
    blocks: list[Block] = [
        Sentence(
            "On a CPU with the same versions these commands give the same adapter, to the byte; elsewhere the last "
            "digits differ. Save what stands below under its name first; the data are the same where their SHA-256 "
            "are those above."
        ),
        Code("\n".join(_commands(content)), "Commands"),
    ]
    for part in content.trained_parts:
        of = f"{part.name}: " if part is not content else ""
        if part.recipe is not None:
            file = f"{part.name}.yaml" if part is not content else "recipe.yaml"
            blocks.append(Code(recipe_to_yaml(part.recipe), file))
        elif part.recipe_text:
            shown = text(part.recipe_text, _LONGEST_RECIPE)
            blocks.append(
                Sentence(f"{of}recipe.yaml is not one that can be used; as it stands:", "wrong")
            )
            blocks.append(Code(shown, f"{of}recipe.yaml", folded=True))
        else:
            blocks.append(Sentence(f"{of}There is no recipe.yaml that can be read.", "lacking"))
    return Section("How to reproduce", "reproduce", blocks)


def _commands(content: RunContent) -> list[str]:
    first = content.trained_parts[0]
    version = text(mapping(first.environment.get("versions")).get("lexitrain"), 40)
    commit = text(first.environment.get("commit"), 80)
    made = " ".join(
        filter(None, [version and f"lexitrain {version}", commit and f"commit {commit}"])
    )
    lines = [_line(f"# made with {made}")] if made else []
    lines += [_train(part, content) for part in content.trained_parts]
    lines += [
        _evaluate(saved)
        for saved in content.evaluations[:_MOST_EVALUATIONS]
        if not saved.of_the_base
    ]
    export = _export(content)
    return [*lines, export] if export else lines


def _train(part: RunContent, content: RunContent) -> str:
    data = text(part.data.get("folder"), 1000) or "DATA"
    if not content.parts:
        return _command("train", "--recipe", "recipe.yaml", "--data", data, "--run", "again")
    recipe, run = f"{part.name}.yaml", f"again/{part.name}"
    return _command("train", "--recipe", recipe, "--data", data, "--run", run)


def _command(*words: str) -> str:
    return _line(shlex.join(["lexitrain", *words]))


def _line(command: str) -> str:
    """Without line breaks and what else would be another command when it is pasted."""
    return "".join(letter if letter.isprintable() else "?" for letter in command)


def _evaluate(saved: SavedEvaluation) -> str:
    data, decoding = mapping(saved.content.get("data")), mapping(saved.content.get("decoding"))
    file = text(data.get("file"), 1000) or "DATA"
    words = ["evaluate", "again", "--data", file]
    # The name of an evaluation is that of its file, with the limit behind it.
    limited = re.match(rf"{re.escape(PurePath(file).stem)}-(\d+)(-|$)", text(data.get("name"), 200))
    if limited:
        words += ["--limit", limited.group(1)]
    temperature, samples = number(decoding.get("temperature")), whole(decoding.get("samples"))
    if temperature:
        words += ["--temperature", f"{temperature:g}", "--samples", str(samples or 1)]
        words += ["--seed", str(whole(decoding.get("seed")) or 0)]
    if decoding.get("json_schema") is True:
        words.append("--json-schema")
    return _command(*words)


def _export(content: RunContent) -> str:
    files: list[dict[str, Any]] = [
        mapping(each) for each in sequence(content.export.get("files"))[:30]
    ]
    forms = dict.fromkeys(form for each in files if (form := text(each.get("form"), 20)))
    if not forms:
        return ""
    words = ["export", "again", "--to", ",".join(forms)]
    mixtures = dict.fromkeys(q for each in files if (q := text(each.get("quantization"), 20)))
    if mixtures:
        words += ["--quantize", ",".join(mixtures)]
    verified = [found for each in files if (found := mapping(each.get("verification")))]
    if verified:
        asked = [mapping(each.content.get("data")).get("file") for each in content.evaluations]
        words += ["--verify", text(asked[0], 1000) if asked else "DATA"]
        margin = number(verified[0].get("margin"))
        words += [] if margin is None else ["--margin", f"{margin:g}"]
    return _command(*words)
