"""Whether the Hub answers: asked once a process, and for seconds only.

The clients of the Hub try each file of a model or a data set again and again, a minute without a network. So the Hub is
asked one short question first, and where nothing comes back at most what was downloaded before is read.
"""

from __future__ import annotations

from functools import cache
from threading import Thread
from urllib.error import HTTPError
from urllib.request import Request, urlopen

_SECONDS = 6.0


def hub_is_switched_off() -> bool:
    """Whether the user wants the Hub not to be asked: HF_HUB_OFFLINE is set."""
    from huggingface_hub import constants

    return constants.HF_HUB_OFFLINE


def hub_answers() -> bool:
    """Whether the Hub can be asked. False where HF_HUB_OFFLINE is set."""
    from huggingface_hub import constants

    return not hub_is_switched_off() and _answers(constants.ENDPOINT)


@cache
def _answers(endpoint: str) -> bool:
    heard: list[bool] = []
    # A thread, as looking a name up has no time limit of its own.
    asking = Thread(target=lambda: heard.append(_ask(endpoint)), daemon=True)
    asking.start()
    asking.join(_SECONDS)
    return heard == [True]


def _ask(endpoint: str) -> bool:
    try:
        with urlopen(Request(endpoint, method="HEAD"), timeout=_SECONDS):
            return True
    except HTTPError as error:
        return error.code < 500  # it refuses this question, so it is there
    except (OSError, ValueError):
        return False
