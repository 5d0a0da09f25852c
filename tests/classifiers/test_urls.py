"""URL keys: equal for one page, different for different pages, and no exception for any string."""

import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from classifiers.urls import host_of, normalize_url, printable_url, registered_domain_of, strip_www

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
    ("http://example.com/a?sessionid=0123456789abcdef0123456789abcdef", "http://example.com/a"),
    ("http://example.com/a?session_id=k3v9q2m8x1z7c5b4n6a0s2d4f6", "http://example.com/a"),
    ("http://example.com/a?sid=123e4567-e89b-12d3-a456-426614174000", "http://example.com/a"),
    ("http://example.com/a?PHPSESSID=abc&gclid=1", "http://example.com/a"),
    ("http://example.com/a#!/news", "http://www.example.com/a/#!/news"),
    ("http://[2001:DB8:0:0::1]:80/a", "http://[2001:db8::1]/a"),
    ("http://www.bl.uk/", "http://bl.uk/"),
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
    ("http://homes.example/p?ref=1021", "http://homes.example/p?ref=1022"),
    ("http://conf.example/a?sessionid=7", "http://conf.example/a?sessionid=8"),
    ("http://conf.example/a?session_id=opening-2024-keynote-speech-1", "http://conf.example/a?session_id=closing"),
    ("http://forge.example/readme?ref=v1.0", "http://forge.example/readme?ref=v2.0"),
    (f"http://forge.example/readme?ref={'ab' * 20}", f"http://forge.example/readme?ref={'cd' * 20}"),
    ("http://pod.example/show?feed=1", "http://pod.example/show?feed=2"),
    ("http://shop.example/?source=1", "http://shop.example/?source=2"),
    ("http://shop.example/?cmpid=17", "http://shop.example/?cmpid=18"),
    ("http://shop.example/?page=1", "http://shop.example/?page=2"),
    ("http://shop.example/?amp=1", "http://shop.example/"),
    ("http://example.com/?s=apples", "http://example.com/?s=pears"),
    ("http://example.com/?tag=a&tag=b", "http://example.com/?tag=b&tag=a"),
    ("http://example.com/#!/news", "http://example.com/#!/about"),
    ("http://www.gov.uk/", "http://gov.uk/"),
]

STORED = [  # both readers of documents are tested with them, too
    ("https://user:password@example.org/a", "https://example.org/a"),
    ("HTTP://user@example.org:81/a@b?c=d@e", "HTTP://example.org:81/a@b?c=d@e"),
    ("https://a%40b:p@ss@example.org", "https://example.org"),
    ("https://example.org/@user", "https://example.org/@user"),
    ("https://example.org?mail=a@b.org", "https://example.org?mail=a@b.org"),
    ("https://example.org/a b\tc\x00\x1b[31m\x7f\x85/", "https://example.org/a%20b%09c%00%1B[31m%7F%C2%85/"),
    ("https://example.org/\u202egnp.exe\u200b\ufeff", "https://example.org/%E2%80%AEgnp.exe%E2%80%8B%EF%BB%BF"),
    ("https://пример.рф/путь", "https://пример.рф/путь"),
    ("\ufeffhttps://user:password@example.org/", "%EF%BB%BFhttps://example.org/"),
    ("//user:password@example.org/a", "//example.org/a"),
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
        ("http://example.com\\@other.org/", "", ""),
        ("http://Example.COM.:8080/", "example.com", "example.com"),
        ("http://[2001:DB8::0001]/", "2001:db8::1", "2001:db8::1"),
        ("http://www.ck/", "www.ck", "www.ck"),  # an exception to the wildcard *.ck
        ("http://a.b.c.ck/", "a.b.c.ck", "b.c.ck"),
        ("http://www.city.kawasaki.jp/", "www.city.kawasaki.jp", "city.kawasaki.jp"),
        ("http://a.b.kawasaki.jp/", "a.b.kawasaki.jp", "a.b.kawasaki.jp"),
        ("http://www.gov.uk/", "www.gov.uk", "www.gov.uk"),
        ("http://user.github.io/", "user.github.io", "github.io"),
        ("http://www.食狮.公司.cn/", "www.xn--85x722f.xn--55qx5d.cn", "xn--85x722f.xn--55qx5d.cn"),
    ],
)
def test_hosts(url: str, host: str, domain: str) -> None:
    assert host_of(url) == host
    assert registered_domain_of(host) == domain


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("www.example.org", "example.org"),
        ("www.www.example.org", "example.org"),
        ("www.gov.uk", "www.gov.uk"),
        ("www.www.gov.uk", "www.gov.uk"),
        ("www.co.jp", "www.co.jp"),
        ("www.ck", "www.ck"),
        ("www.foo.ck", "www.foo.ck"),
        ("www.bar.foo.ck", "bar.foo.ck"),
        ("www.city.kawasaki.jp", "city.kawasaki.jp"),
        ("www.b.kawasaki.jp", "www.b.kawasaki.jp"),
        ("www.github.io", "github.io"),
        ("www.xn--55qx5d.cn", "www.xn--55qx5d.cn"),
        ("www.com", "www.com"),
        ("www.localhost", "www.localhost"),
        ("www.site.test", "site.test"),
        ("www", "www"),
        ("", ""),
    ],
)
def test_www_is_removed_unless_a_public_suffix_would_be_left(host: str, name: str) -> None:
    assert strip_www(host) == name
    assert strip_www(name) == name


@pytest.mark.parametrize(("url", "stored"), STORED)
def test_stored_urls_have_no_password_and_can_be_printed(url: str, stored: str) -> None:
    assert printable_url(url) == stored
    assert printable_url(stored) == stored


@given(anything)
@settings(max_examples=500)
def test_any_url_can_be_stored(url: str) -> None:
    stored = printable_url(url)
    assert stored == "".join(stored.split())
    assert not any(unicodedata.category(char) in ("Cc", "Cs", "Zs", "Zl", "Zp") for char in stored)
    stored.encode()
    assert not any(char < "!" or "\x7f" <= char <= "\xa0" for char in stored)
