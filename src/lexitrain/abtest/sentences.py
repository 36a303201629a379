"""What a report says, in English and Vietnamese.

A `Sentence` is its English text, and knows what it was made of: the page of a team that reads Vietnamese says the same.
"""

from __future__ import annotations

from typing import Any

SENTENCES: dict[str, tuple[str, str]] = {
    # Metrics, as the subject of what follows
    "helpful": ("called helpful, of rated answers", "thấy hữu ích, trên số câu trả lời được đánh giá"),
    "stars": ("stars, mean of rated answers", "số sao, trung bình các câu trả lời được đánh giá"),
    "fixed": ("sentence right in the end, of all requests", "câu cuối cùng đã đúng, trên mọi yêu cầu"),
    "corrected": ("corrected by the learner, of all requests", "được người học sửa, trên mọi yêu cầu"),
    "seconds": ("seconds to the answer, mean", "số giây đến khi có câu trả lời, trung bình"),
    "error_rate": ("requests without an answer", "yêu cầu không có câu trả lời"),
    "invalid_json_rate": ("answers that cannot be read", "câu trả lời không đọc được"),
    "rated": ("requests that were rated", "yêu cầu được đánh giá"),
    "p95_seconds": ("19 of 20 answers take no longer than", "19 trên 20 câu trả lời không lâu hơn"),
    # Amounts
    "points": ("{value} points", "{value} điểm phần trăm"),
    "unit_stars": ("{value} stars", "{value} sao"),
    "unit_s": ("{value} s", "{value} giây"),
    "from_to": ("{low} to {high}", "{low} đến {high}"),
    "two": ("{first} {other}", "{first} {other}"),
    # Harm
    "rate_harm": (
        "{metric}: at least {least:.1f} points more than the other arm",
        "{metric}: nhiều hơn nhánh kia ít nhất {least:.1f} điểm phần trăm",
    ),
    "slower_harm": (
        "p95 latency: at least {least:.1f} times the other arm's",
        "độ trễ p95: ít nhất gấp {least:.1f} lần nhánh kia",
    ),
    "slow_harm": (
        "p95 latency: at least {low:.1f} s, over {most:g} s",
        "độ trễ p95: ít nhất {low:.1f} giây, quá {most:g} giây",
    ),
    "of_arm": ("{arm}: {reason}.", "{arm}: {reason}."),
    # Why there is no interval
    "no_values": ("an arm has no values", "một nhánh chưa có giá trị nào"),
    "one_learner": (
        "one learner in an arm says nothing of how learners differ from each other",
        "một người học trong một nhánh chưa cho biết những người học khác nhau ra sao",
    ),
    "all_alike": ("all values of an arm are alike", "mọi giá trị của một nhánh đều như nhau"),
    "too_few_learners": (
        "an interval for any number of looks begins at {least} learners in each arm",
        "khoảng đúng cho mọi lần xem cần ít nhất {least} người học ở mỗi nhánh",
    ),
    "no_interval": ("no interval", "chưa có khoảng"),
    # Verdicts
    "broken": ("Do not trust this test.", "Đừng tin kết quả của thử nghiệm này."),
    "stop": ("Stop {arm}: it does harm.", "Hãy dừng {arm}: nó gây hại."),
    "not_over": (
        "Not yet: the test is to be read once, at {wanted:,} learners, and {learners:,} have come.",
        "Chưa: thử nghiệm này chỉ đọc một lần, khi đủ {wanted:,} người học; hiện có {learners:,}.",
    ),
    "not_earlier": (
        "Reading it earlier finds differences where there are none.",
        "Đọc sớm hơn sẽ thấy khác biệt ở nơi không có.",
    ),
    "lacking": ("Not enough yet: {why}.", "Chưa đủ dữ liệu: {why}."),
    "shown": ("{metric}: {difference} ({interval}).", "{metric}: {difference} ({interval})."),
    "better": ("{other} is better than {first}.", "{other} tốt hơn {first}."),
    "worse": ("{other} is worse than {first}.", "{other} kém hơn {first}."),
    "worse_beyond": (
        "{other} is worse than {first} and by more than the margin.",
        "{other} kém hơn {first}, và quá mức chấp nhận.",
    ),
    "no_worse": (
        "{other} is no worse than {first} by {allowed}; that it is better is not shown.",
        "{other} không kém {first} quá {allowed}; chưa cho thấy là tốt hơn.",
    ),
    "as_good": (
        "A gain of {allowed} is ruled out too: the two are as good as each other.",
        "Cũng loại trừ được mức hơn {allowed}: hai mô hình tốt như nhau.",
    ),
    "not_enough": (
        "Not enough yet to say whether {other} is better or worse than {first}.",
        "Chưa đủ dữ liệu để nói {other} tốt hơn hay kém hơn {first}.",
    ),
    "ratio": (
        "Learners fell into the arms {said} where {meant} were meant (p = {p}, {often}): the arms differ in who is in "
        "them. Look for learners who are lost or counted twice in one arm, and start again.",
        "Người học chia vào hai nhánh theo {said}, trong khi dự kiến là {meant} (p = {p}, {often}): hai nhánh "
        "không gồm những người học giống nhau. Hãy tìm xem ở nhánh nào người học bị mất hoặc bị đếm hai lần, rồi bắt "
        "đầu lại.",
    ),
    "to": ("{first} to {other}", "{first} trên {other}"),
    "not_by_looking": (
        "and looking often does not explain it", "và việc xem nhiều lần không giải thích được",
    ),
    "maybe_by_looking": (
        "though one who looks very often may see it in a sound test",
        "dù ai xem rất thường xuyên cũng có thể gặp ở một thử nghiệm tốt",
    ),
    "crossed": (
        "{crossed:,} of {learners:,} learners were shown both arms: the assignment does not stick.",
        "{crossed:,} trên {learners:,} người học đã gặp cả hai nhánh: việc phân nhánh không giữ nguyên.",
    ),
    "not_harmless": (
        "Not shown to be harmless yet: {titles}.", "Chưa cho thấy là vô hại: {titles}.",
    ),
    "planned_left": (
        "{left:,} more learners are planned{days}.", "Theo kế hoạch còn {left:,} người học nữa{days}.",
    ),
    "planned_over": (
        "As many learners as planned have come. A difference of {effect} would have been found with a chance of "
        "{power:.0f} %: one as large is unlikely, but possible.",
        "Đã đủ số người học theo kế hoạch. Mức khác biệt {effect} lẽ ra được phát hiện với xác suất {power:.0f} %: "
        "mức lớn như vậy khó có, nhưng vẫn có thể.",
    ),
    "about_left": (
        "About {left:,} more learners would bring the interval to ± {margin}{days}.",
        "Khoảng {left:,} người học nữa sẽ thu hẹp khoảng còn ± {margin}{days}.",
    ),
    "days": (", about {days:,} days at the pace so far", ", chừng {days:,} ngày với tốc độ hiện nay"),
    # What to know besides
    "ratio_unlikely": (
        "Learners fell into the arms {said}, which is unlikely where the assignment is sound (p = {p}): look again "
        "when more have come.",
        "Người học chia vào hai nhánh theo {said}, điều khó xảy ra khi phân nhánh đúng (p = {p}): hãy xem lại khi có "
        "thêm người học.",
    ),
    "imbalance": (
        "The values from before the test differ between the arms (p = {p}), which nothing but chance should make: were "
        "they taken before anybody was assigned?",
        "Giá trị trước thử nghiệm khác nhau giữa hai nhánh (p = {p}), điều chỉ nên do ngẫu nhiên: các giá trị đó có "
        "được đo trước khi phân nhánh không?",
    ),
    "uneven": (
        "A few of the {learners:,} learners of {arm} are most of what it was asked: they count as {even:,.0f}.",
        "Một số ít trong {learners:,} người học của {arm} chiếm phần lớn yêu cầu: chỉ đáng kể như {even:,.0f} người.",
    ),
    "rated_more": (
        "Learners rate the answers of {arm} more often ({difference}): those who rate may not be alike in both arms.",
        "Người học đánh giá câu trả lời của {arm} thường xuyên hơn ({difference}): những người đánh giá ở hai nhánh có "
        "thể không giống nhau.",
    ),
    "rated_less": (
        "Learners rate the answers of {arm} less often ({difference}): those who rate may not be alike in both arms.",
        "Người học đánh giá câu trả lời của {arm} ít hơn ({difference}): những người đánh giá ở hai nhánh có thể không "
        "giống nhau.",
    ),
    "task_mix": (
        "The arms were not asked for the same tasks. At equal shares of the tasks the difference would be {equal} "
        "instead of {whole}.",
        "Hai nhánh không được hỏi cùng các tác vụ. Nếu tỉ lệ tác vụ như nhau, mức khác biệt là {equal} thay vì "
        "{whole}.",
    ),
    "sign_turns": (
        "The sign turns: the difference is one of what was asked for.",
        "Dấu đổi chiều: khác biệt là do những gì được hỏi.",
    ),
    "few_days": (
        "The test has seen {days:.1f} days. Learners of Sunday and Monday differ: whole weeks say more.",
        "Thử nghiệm mới qua {days:.1f} ngày. Người học Chủ nhật và thứ Hai khác nhau: trọn tuần cho biết nhiều hơn.",
    ),
    "faded": (
        "An earlier reading showed a difference, and this one does not any more. The earlier one was allowed to be "
        "believed; that it faded may mean that the effect wears off.",
        "Lần xem trước cho thấy khác biệt, lần này thì không còn. Kết quả trước vẫn đáng tin; việc nó mất đi có thể có "
        "nghĩa là hiệu ứng phai dần.",
    ),
    "shown_both": (
        "{crossed:,} learners were shown both arms. They count in the one that was assigned, which makes a difference "
        "look smaller than it is.",
        "{crossed:,} người học đã gặp cả hai nhánh. Họ được tính vào nhánh đã phân, khiến khác biệt trông nhỏ hơn thực "
        "tế.",
    ),
    "repeated": (
        "{rows:,} rows were there more than once and are counted once.",
        "{rows:,} dòng có hơn một lần và chỉ được tính một lần.",
    ),
}  # fmt: skip
"""Name -> what is said, in English and in Vietnamese, as formats of the same fields."""

_PLACE = {"en": 0, "vi": 1}


class Sentence(str):
    """English text.

    Attributes:
        name: in `SENTENCES`.
        values: of its fields; sentences among them, and tuples of sentences, are said in the same language.
    """

    name: str
    values: dict[str, Any]

    def said(self, language: str) -> str:
        """In `en` or `vi`."""
        values = {name: _said(value, language) for name, value in self.values.items()}
        return SENTENCES[self.name][_PLACE[language]].format(**values)


def sentence(name: str, /, **values: Any) -> Sentence:
    """One of `SENTENCES` with its fields filled in."""
    english = SENTENCES[name][0].format(**{key: _said(each, "en") for key, each in values.items()})
    found = Sentence(english)
    found.name, found.values = name, values
    return found


def said_in(text: str, language: str) -> str:
    """A text in a language; one that is no sentence, such as a name, stays as it is."""
    return text.said(language) if isinstance(text, Sentence) else text


def _said(value: Any, language: str) -> Any:
    if isinstance(value, tuple):
        return ", ".join(str(_said(each, language)) for each in value)  # pyright: ignore[reportUnknownVariableType]
    return said_in(value, language) if isinstance(value, str) else value
