"""What helps where a base model is not on this machine and the Hub does not give it."""

from __future__ import annotations

from lexitrain.storage import hub_is_switched_off


def without_network() -> str:
    """The ways out, for the end of an error."""
    first = (
        "HF_HUB_OFFLINE is set, so only what was downloaded before is read: unset it"
        if hub_is_switched_off()
        else "Without a network, set HF_HUB_OFFLINE=1 to use at once what was downloaded before"
    )
    return f"{first}, give a local folder that holds the model's files, or use nano."
