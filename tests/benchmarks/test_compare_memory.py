"""Live tensor bytes: born, shared, freed, kept by autograd alone."""

from __future__ import annotations

import gc

import torch
from benchmarks.compare.memory import LiveBytes, Peak

MB = 2**20


def megabyte() -> torch.Tensor:
    return torch.ones(MB // 4)


def test_new_storages_count_until_they_are_freed():
    with LiveBytes() as live:
        first = megabyte()
        second = first * 2
        assert live.now == 2 * MB
        del first
        gc.collect()
        assert (live.now, live.peak) == (MB, 2 * MB)
        del second
        gc.collect()
    assert (live.now, live.peak) == (0, 2 * MB)


def test_what_was_there_before_views_and_changes_in_place_do_not_count():
    before = megabyte()
    with LiveBytes() as live:
        before.add_(1)
        kept = before.view(2, -1)[0]
        torch.mul(before, 2, out=before)
        assert kept.numel() == MB // 8
    assert live.peak == 0


def test_what_only_autograd_holds_counts_until_the_backward_pass():
    weight = torch.ones(MB // 4, requires_grad=True)
    with LiveBytes() as live:
        loss = (weight * 3).exp().sum()
        gc.collect()
        assert live.now >= MB  # the exponential's output, which its backward pass needs
        held = live.now
        loss.backward()
        gc.collect()
        assert live.now <= held  # the gradient took its place
        assert weight.grad is not None


def test_a_peak_is_of_its_block():
    peak = Peak("cpu")
    big = megabyte()
    with peak.measured():
        small = torch.ones(256)
    assert peak.bytes == 1024
    assert len(big) > len(small)
