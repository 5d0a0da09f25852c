"""Public suffixes against tldextract, on every suffix of its list and hosts below it."""

from __future__ import annotations

import idna
import pytest
import tldextract

from classifiers.public_suffixes import split_suffix

_PEER = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
_SUFFIXES = [suffix.lstrip("!").replace("*", "wild") for suffix in _PEER.tlds]


def test_every_suffix_and_hosts_below_it_split_as_by_tldextract() -> None:
    hosts = [f"{below}{suffix}" for suffix in _SUFFIXES for below in ("", "a.", "B.a.")]
    hosts += [f"a.{idna.encode(suffix).decode()}" for suffix in _SUFFIXES if not suffix.isascii()]
    found = [(host, *split_suffix(host)) for host in hosts]
    assert found == [(host, peer.domain, peer.suffix) for host, peer in zip(hosts, map(_PEER, hosts), strict=True)]


@pytest.mark.parametrize("host", ["localhost", "a..com", "a.b.ck", "www.ck", "xn--zzzz-.com", "a_b.co.uk", "", "a.%"])
def test_hosts_without_or_with_odd_labels(host: str) -> None:
    peer = _PEER(host)
    assert split_suffix(host) == (peer.domain, peer.suffix)
