"""Messages between units and partitions, and the counting of keys across units."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.deduplication.messages import Inbox, Job, count_keys, look_up_counts, partition_count, send_keys
from pipeline.deduplication.settings import DeduplicateSettings

SETTINGS = DeduplicateSettings(partition_bytes=10_000)


@pytest.mark.parametrize(("documents", "partitions"), [(0, 1), (1, 1), (10, 1), (11, 2), (1000, 100)])
def test_partitions_hold_a_thousand_bytes_per_document(documents, partitions):
    assert partition_count(documents, SETTINGS) == partitions


@pytest.mark.parametrize("partitions", [1, 3])
def test_every_unit_gets_the_counts_of_its_keys_over_all_units(partitions):
    job = Job(SETTINGS, partitions, "nowhere")
    keys = [np.array([5, 6, 7, 7], np.uint64), np.array([], np.uint64), np.array([7, 8, 6], np.uint64)]
    parcels = {}
    for unit, own in enumerate(keys):
        for partition, parcel in send_keys(job, Inbox(unit), own):
            parcels.setdefault(partition, []).append(parcel)
    answers = [message for partition in parcels.values() for message in count_keys(job, partition)]
    counts = [
        look_up_counts(
            own, Inbox.from_messages(unit, [message for target, message in answers if target == unit])
        ).tolist()
        for unit, own in enumerate(keys)
    ]
    assert counts == [[1, 2, 3, 3], [], [3, 1, 2]]
