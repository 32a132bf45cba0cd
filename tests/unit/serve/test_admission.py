"""Places in the server: bounded in all and by endpoint, and always given back."""

from __future__ import annotations

import pytest

from pipewren.errors import TooManyRequests
from pipewren.serve.admission import Admission


def test_places_are_bounded_in_all_and_given_back_whatever_happens() -> None:
    admission = Admission(2)
    with admission.slot("a"), admission.slot("b"):
        with pytest.raises(TooManyRequests, match="max_waiting_requests") as caught:
            admission.enter("c")
        assert caught.value.limit == 2
        assert admission.inside == 2
    with pytest.raises(KeyError), admission.slot("a"):
        raise KeyError
    assert admission.inside == 0
    assert not admission.by_endpoint


def test_one_endpoint_cannot_take_every_place() -> None:
    admission = Admission(10, max_per_endpoint=2)
    with admission.slot("slow"), admission.slot("slow"):
        with pytest.raises(TooManyRequests, match="max_concurrent_per_endpoint") as caught:
            admission.enter("slow")
        assert caught.value.limit == 2
        with admission.slot("quick"):
            assert admission.by_endpoint == {"slow": 2, "quick": 1}
    assert not admission.by_endpoint
