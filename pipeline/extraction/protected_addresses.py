"""Write the e-mail addresses that Cloudflare hides: a script in the page shows them, so that readers see them.

The page has `<a data-cfemail="54373b...">[email protected]</a>`, or the digits in the link alone. The first byte is the
key; each byte behind it is one of the address, XOR the key. scrub_pii then finds these addresses as all others.
"""

from __future__ import annotations

import re

from lxml.etree import XPath, _Element
from lxml.html import HtmlElement

SIGNS = (b"data-cfemail", b"/cdn-cgi/l/email-protection#")
_PROTECTED = XPath("//*[@data-cfemail] | //a[contains(@href, '/cdn-cgi/l/email-protection#')]")
_PLACEHOLDER = "[email protected]"
_LONGEST_TEXT = 100  # characters of an element that stands for an address; an unclosed one contains much of a page
_LONGEST_CODE = 1000  # hexadecimal digits; a link may have the subject of a letter behind the address
_ADDRESS = re.compile(r"[\w.%+'-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}")


def show_protected_addresses(tree: HtmlElement) -> None:
    """Replace the text of each element that stands for a hidden address by the address.

    A link with words of its own, such as "Write to us", keeps them: browsers show those.
    """
    for element in _PROTECTED(tree):
        code = element.get("data-cfemail")
        address = decode_address(element.get("href", "").partition("#")[2] if code is None else code)
        if address and _is_placeholder(element, is_marked=code is not None):
            for child in list(element):
                element.remove(child)
            element.text = address


def decode_address(code: str) -> str:
    """The address in hexadecimal digits, "" where there is none.

    >>> decode_address("422f2b2e2e02212e233b6c2d3025")
    'mill@clay.org'
    """
    if len(code) > _LONGEST_CODE:
        return ""
    try:
        key, *hidden = bytes.fromhex(code)
        address = bytes(byte ^ key for byte in hidden).decode().partition("?")[0]
    except ValueError:  # no digits, no byte, or no UTF-8
        return ""
    return address if _ADDRESS.fullmatch(address) else ""


def _is_placeholder(element: _Element, *, is_marked: bool) -> bool:
    """Whether the element shows nothing but that there is an address; a marked one may say so in any language."""
    text = " ".join("".join(element.itertext()).split())
    return len(text) <= _LONGEST_TEXT if is_marked else text == _PLACEHOLDER
