"""URL keys: equal for one page, different for different pages, and no exception for any string."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from classifiers.urls import host_of, normalize_url, registered_domain_of

SAME = [
    ("http://www.example.com/", "https://example.com"),
    ("http://EXAMPLE.com:80/a", "https://example.com:443/a/"),
    ("http://example.com/a?b=1&a=2", "http://example.com/a?a=2&b=1"),
    ("http://example.com/a?utm_source=x&utm_medium=y", "http://example.com/a"),
    ("http://example.com/a?fbclid=IwAR0&id=3#comments", "http://example.com/a?id=3"),
    ("http://example.com/%7Euser/%c3%a9", "http://example.com/~user/é"),
    ("http://example.com/a/./b/../c//d", "http://example.com/a/c/d"),
    ("http://example.com/docs/index.html", "http://example.com/docs/"),
    ("http://example.com/index.php?id=3", "http://example.com/?id=3"),
    ("http://example.com/a;jsessionid=0A1B?x=1", "http://example.com/a?x=1"),
    ("http://example.com/viewtopic.php?t=5&sid=0123456789abcdef0123456789abcdef", "example.com/viewtopic.php?t=5"),
    ("http://example.com/a?q=x+y", "http://example.com/a?q=x%20y"),
    ("http://bücher.example/", "http://xn--bcher-kva.example"),
    ("http://user:secret@example.com./a", "http://example.com/a"),
    ("  http://example.com/a\n", "example.com/a"),
]

OTHER = [
    ("http://example.com/a", "http://example.com/A"),
    ("http://example.com/a", "http://example.com/a?id=1"),
    ("http://example.com/modules.php?sid=17", "http://example.com/modules.php?sid=18"),
    ("http://example.com/?q=%E9", "http://example.com/?q=%E8"),  # Latin-1 escapes, not valid UTF-8
    ("http://example.com/a%2Fb", "http://example.com/a/b"),
    ("http://example.com:8080/", "http://example.com/"),
    ("http://www.com/", "http://com/"),
    ("http://a.example.com/", "http://b.example.com/"),
    ("http://example.com/index", "http://example.com/"),
]

anything = st.one_of(
    st.text(),
    st.text(alphabet="htp:/w.%?&=#@[]\\;+ \t\nabEé中\ud800\x00"),
    st.from_regex(r"https?://(www\.)*[a-z0-9.-]{1,20}(:[0-9]{1,6})?(/[ -~]{0,20})?(\?[ -~]{0,20})?", fullmatch=True),
)


@pytest.mark.parametrize(("one", "other"), SAME)
def test_spellings_of_one_url_have_the_same_key(one: str, other: str) -> None:
    assert normalize_url(one) == normalize_url(other)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_different_pages_have_different_keys(one: str, other: str) -> None:
    assert normalize_url(one) != normalize_url(other)


@given(anything)
@example("http://www.www.com/")
@example("http://[::1]:8080/a")
@example("http://example.com/?%FF=%FE&\udc80")
@example("http://[")
@example("http://a:99999/")
@example("http:// ̈.com/")
@settings(max_examples=1500)
def test_the_key_of_a_key_is_itself(url: str) -> None:
    key = normalize_url(url)
    assert normalize_url(key) == key
    key.encode()


@given(anything)
@settings(max_examples=500)
def test_hosts_of_any_string(url: str) -> None:
    host = host_of(url)
    assert host == host.lower()
    assert registered_domain_of(host) in ("", host) or host.endswith(registered_domain_of(host))


@pytest.mark.parametrize(
    ("url", "host", "domain"),
    [
        ("https://News.BBC.co.uk:443/x", "news.bbc.co.uk", "bbc.co.uk"),
        ("http://192.0.2.7/x", "192.0.2.7", "192.0.2.7"),
        ("http://a.blogspot.com/", "a.blogspot.com", "blogspot.com"),
        ("http://пример.рф/", "xn--e1afmkfd.xn--p1ai", "xn--e1afmkfd.xn--p1ai"),
        ("http://b%C3%BCcher.example/", "xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("http://not a host/", "", ""),
        ("http://localhost/", "localhost", "localhost"),
        ("mailto:someone@example.com", "", ""),
        ("http://[::1", "", ""),
    ],
)
def test_hosts(url: str, host: str, domain: str) -> None:
    assert host_of(url) == host
    assert registered_domain_of(host) == domain
