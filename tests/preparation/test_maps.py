from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexitrain.errors import DataError, InputError, TaskError
from lexitrain.preparation.maps.row_maps import EmptyCell, RowMaps
from lexitrain.preparation.maps.syntax import RowMap, understood
from lexitrain.preparation.pipeline import prepare
from lexitrain.records import BadRow
from lexitrain.records.prepared import SPLITS, read_split, split_file
from lexitrain.records.record import Record
from lexitrain.tasks import aliases, registry

TASKS = registry()
NAMES = aliases(TASKS)


def everything(folder: Path) -> list[Record]:
    return [record for split in SPLITS for record in read_split(split_file(folder, split))]


def write_csv(path: Path, rows: list[dict[str, Any]], delimiter: str = ",") -> str:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def sheet(count: int) -> list[dict[str, Any]]:
    return [
        {
            "input": f"unrelated {n}",  # a column that happens to have a form's name
            "learner_text": f"He go to place {n}, often.",
            "corrected_text": f"He goes to place {n}, often.",
            "cefr": ("A1", "B2", "C1")[n % 3],
            "band": 1 + n % 17 / 2,
            "essay": f"e{n // 3}",
        }
        for n in range(count)
    ]


MAPS = (
    "input=learner_text,output=corrected_text,task=grammar,metadata.group=essay",
    "input=learner_text,output.level=cefr,task=vocabulary",
    "input=learner_text , output.fluency_score = band/9, task=fluency_scoring, metadata.source='our school'",
)


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet", "datasets"])
def test_several_maps_make_several_tasks_of_a_row_whatever_the_source(
    tmp_path: Path, kind: str
) -> None:
    rows = sheet(90)
    path = tmp_path / f"sheet.{kind}"
    if kind in ("csv", "tsv"):
        write_csv(path, rows, "," if kind == "csv" else "\t")
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    else:
        datasets = pytest.importorskip("datasets")
        made = datasets.Dataset.from_list(rows)
        made.to_parquet(str(path)) if kind == "parquet" else made.save_to_disk(str(path))
    report = prepare([str(path)], tmp_path / "out", maps=MAPS)
    assert report["records"] == {"read": 270, "bad": 0, "dropped": 0, "kept": 270}
    assert report["maps"] == list(MAPS)
    found = {
        task: {
            record.input: record for record in everything(tmp_path / "out") if record.task == task
        }
        for task in report["tasks"]
    }
    for row in rows:
        text = row["learner_text"]
        assert found["grammar"][text].output == row["corrected_text"]
        assert found["grammar"][text].metadata["group"] == row["essay"]
        assert found["vocabulary"][text].output == {"level": row["cefr"]}
        fluency = found["fluency"][text]
        assert isinstance(fluency.output, dict)
        assert fluency.output["fluency_score"] == pytest.approx(row["band"] / 9, abs=1e-6)
        assert fluency.metadata["source"] == "our school"
        assert fluency.metadata["input"] == row["input"]  # no map names it: kept


def test_records_of_one_row_lie_on_one_side(tmp_path: Path) -> None:
    rows = [
        {"a": f"Alpha {n} word", "b": f"Other {n} thing", "c": f"Third {n}"} for n in range(200)
    ]
    maps = ("input=a,output=b,task=grammar", "input=b,output.explanation=c,task=explanation")
    prepare([write_csv(tmp_path / "x.csv", rows)], tmp_path / "out", maps=maps)
    numbers = [
        {record.input.split()[1] for record in read_split(split_file(tmp_path / "out", split))}
        for split in SPLITS
    ]
    assert sum(map(len, numbers)) == 200


def test_empty_cells_are_dropped_and_counted(tmp_path: Path) -> None:
    rows = sheet(3000)
    for n in range(75):
        rows[40 * n]["corrected_text"] = " " if n % 2 else ""
    source = write_csv(tmp_path / "x.csv", rows)
    report = prepare([source], tmp_path / "out", maps=MAPS[:1])
    assert report["records"] == {"read": 3000, "bad": 0, "dropped": 75, "kept": 2925}
    assert report["tasks"]["grammar"]["dropped"] == {"empty output": 75}
    sparse = [row | {"cefr": row["cefr"] if n % 10 == 0 else ""} for n, row in enumerate(rows)]
    report = prepare([write_csv(tmp_path / "y.csv", sparse)], tmp_path / "out2", maps=MAPS[:2])
    assert report["tasks"]["vocabulary"]["kept"] == 300
    assert report["tasks"]["vocabulary"]["dropped"] == {"empty cell of one of several --map": 2700}


def test_a_column_that_is_nowhere_is_an_error_that_names_those_there_are(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "x.csv", sheet(10))
    with pytest.raises(DataError) as caught:
        prepare([source], tmp_path / "out", maps=["input=learner_text,output=corected_text,task=grammar"])  # fmt: skip
    text = str(caught.value)
    assert "No row has the column corected_text" in text
    assert "learner_text, corrected_text, cefr, band, essay" in text
    assert "perhaps corrected_text for corected_text" in text
    assert not (tmp_path / "out").exists()
    with pytest.raises(
        DataError, match="perhaps grammar for gramar"
    ):  # a task was meant, not a column
        prepare([source], tmp_path / "out", maps=["input=learner_text,output=corrected_text,task=gramar"])  # fmt: skip


def test_rows_of_which_nobody_names_the_task_have_one_reason(tmp_path: Path) -> None:
    rows = sheet(10)
    rows[3]["corrected_text"] = ""  # an empty cell makes no other reason of it
    source = write_csv(tmp_path / "x.csv", rows)
    with pytest.raises(DataError, match="10 of 10 records are bad") as caught:
        prepare([source], tmp_path / "out", maps=["input=learner_text,output=corrected_text"])
    assert str(caught.value).count("no task (name it in the record, in --map task=NAME") == 1


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("", "names no column"),
        ("input=", "names no column"),
        ("input=a", "makes no record"),
        ("inptu=a,output=b", "no field 'inptu'"),
        ("input=a,input=b,output=c", "given twice"),
        ("input=a,output=b,output.level=c", "given twice"),
        ("input=a,output.level=b/0,task=vocabulary", "scale of b/0 is zero"),
        ("input=a,output.levle=b,task=vocabulary", "Did you mean output.level?"),
        ("input='x',output='y',task=grammar", "makes no record"),
    ],
)
def test_a_map_that_makes_no_sense_is_refused_before_any_work(given: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason.replace("?", r"\?")) as caught:
        RowMaps([given], TASKS, NAMES, None)
    assert caught.value.where == "--map"
    with pytest.raises(TaskError):
        RowMaps(["input=a,output=b,task='gramar'"], TASKS, NAMES, None)


def one(given: RowMap, row: dict[str, Any], default: str | None = None) -> Any:
    [made] = RowMaps([given], TASKS, NAMES, default).applied(row)
    return made


def test_paths_names_and_constants() -> None:
    row = {
        "a.b": "exact",
        "a": {"b": "inner", "c": {"d": "deep"}},
        "x/2": "named",
        "n": "8",
        "j": '{"k": "v"}',
    }
    assert one("input=a.b,output=a.c.d,task=grammar", row)["input"] == "exact"
    assert one("input=a.c.d,output=x/2,task=grammar", row) == {
        "task": "grammar", "input": "deep", "output": "named",
        "metadata": {key: row[key] for key in ("a.b", "a", "n", "j")},
    }  # fmt: skip
    assert one("input=j.k,output.fluency_score=n*.1,task=fluency", row)["output"] == {
        "fluency_score": 0.8
    }
    assert one({"input": "j.k", "output": "a.b"}, row, "grammar")["task"] == "grammar"
    assert one("input=a.b,output=j,task=t", row | {"t": "grammar_correction"})["task"] == "grammar"
    assert isinstance(one("input=a.b,output.fluency_score=a.b/9,task=fluency", row), BadRow)
    assert isinstance(one("input=zz,output=yy,task=grammar", row), BadRow)
    assert isinstance(one("input=zz,output=n,task=grammar", row), EmptyCell)


COLUMN = st.text("abcXYZ _-,:;é/*", min_size=1, max_size=12).map(str.strip).filter(bool)


@given(
    st.lists(COLUMN, min_size=3, max_size=3, unique=True),
    st.text("ab cd{[\"',", min_size=1).filter(str.strip),
    st.sampled_from(["grammar", "vocabulary", "explanation"]),
)
def test_any_column_name_reaches_its_field(columns: list[str], text: str, task: str) -> None:
    key = {"grammar": "corrected", "vocabulary": "level", "explanation": "explanation"}[task]
    row = dict(zip(columns, (text, "answer", "kept"), strict=True))
    written = f"input={columns[0]},output.{key}={columns[1]},task={task},metadata.x={columns[2]}"
    whole = {"task": task, "input": text, "output": {key: "answer"}, "metadata": {"x": "kept"}}
    assert one(written, row) == whole
    fields = {"input": columns[0], f"output.{key}": columns[1], "metadata.x": columns[2]}
    assert one(fields | {"task": task}, row) == whole


@given(st.text(max_size=40))
def test_any_text_is_a_map_or_an_error_that_says_where(text: str) -> None:
    try:
        understood(text, TASKS, NAMES)
    except InputError as refusal:
        error = refusal
    else:
        return
    assert error.where == "--map"
    assert error.fix
