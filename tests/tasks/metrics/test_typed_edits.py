from __future__ import annotations

from lexitrain.tasks.metrics.typed_edits import made_by_type


def made(
    source: str, answer: str | None, reference: str, *errors: tuple[str, str]
) -> dict[str, tuple[int, int]]:
    said = None if answer is None else answer.split()
    gold = [{"type": kind, "span": span} for kind, span in errors]
    return made_by_type(source.split(), said, reference.split(), gold)


def test_each_edit_is_of_the_type_of_the_error_whose_words_it_changes() -> None:
    errors = (("agreement", "go"), ("preposition", "at"))
    source, right = "He go to school at Monday", "He goes to school on Monday"
    assert made(source, right, right, *errors) == {"agreement": (1, 1), "preposition": (1, 1)}
    half = "He goes to school at Monday"
    assert made(source, half, right, *errors) == {"agreement": (1, 1), "preposition": (0, 1)}
    assert made(source, None, right, *errors) == {"agreement": (0, 1), "preposition": (0, 1)}


def test_a_missing_word_is_told_by_its_neighbour_and_a_changed_one_by_itself() -> None:
    """The edit of `about` touches `proud` too, which stands beside it."""
    errors = (("missing_word", "proud"), ("preposition", "about"))
    source, right = "He proud about it", "He is proud of it"
    assert made(source, right, right, *errors) == {
        "missing_word": (1, 1),
        "preposition": (1, 1),
    }


def test_of_equal_words_the_one_is_meant_that_is_changed() -> None:
    errors = (("pronoun", "they"),)
    source, right = "They read they long book", "They read their long book"
    assert made(source, right, right, *errors) == {"pronoun": (1, 1)}


def test_an_edit_that_no_error_explains_has_no_type() -> None:
    assert made("a b c", "a x c", "a x c", ("spelling", "c z")) == {}
    assert made("a b c", "a x c", "a x c") == {}
    assert made("a b c", "a x c", "a x c", ("empty", "")) == {}
