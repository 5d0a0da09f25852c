"""scrub_pii: what is found, what passes, placeholders, the limit, and that a second pass finds nothing."""

from __future__ import annotations

import resource
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipeline.config import Config
from pipeline.documents import Document, Dropped
from pipeline.errors import UserError
from pipeline.pii.names import model_files
from pipeline.pii.spans import MAX_NUMBERED, PLACEHOLDERS, PiiKind
from pipeline.publishing.provenance import file_digests, settings_as_json
from pipeline.stages import scrub_pii
from pipeline.stages.scrub_pii import ScrubPiiReason, ScrubPiiSettings, find, scrub

DEFAULT = ScrubPiiSettings()


def document(text: str, title: str = "", language: str = "en") -> Document:
    return Document("id", "http://a.org/", "2026-10-01T12:00:00Z", "a.warc", 0, "a.org", "a.org", title, text, language)


def found(text: str, language: str = "en") -> list[tuple[str, str]]:
    return [(str(span.kind), text[span.start : span.end]) for span in find(text, DEFAULT, language)]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("Write to jane.doe+news@mail.uni-bonn.de!", "EMAIL", "jane.doe+news@mail.uni-bonn.de"),
        ("mailto:Info@Kleine-Welt.ORG.", "EMAIL", "Info@Kleine-Welt.ORG"),
        ("请联系zhang@sina.com.cn谢谢", "EMAIL", "zhang@sina.com.cn"),
        ("jane (at) uni-bonn (dot) de", "EMAIL", "jane (at) uni-bonn (dot) de"),
        ("jane [at] uni-bonn.de", "EMAIL", "jane [at] uni-bonn.de"),
        ("techcomm at mayo dot edu", "EMAIL", "techcomm at mayo dot edu"),
        ("jane＠clay-works.com now", "EMAIL", "jane＠clay-works.com"),
        ("jane@clay．com", "EMAIL", "jane@clay．com"),
        ("o'neill@clay-works.com", "EMAIL", "o'neill@clay-works.com"),
        ("Write 'jane@clay-works.com'", "EMAIL", "jane@clay-works.com"),
        ("jane\u200b@clay-works.com", "EMAIL", "jane\u200b@clay-works.com"),
        ("jane@clay-works dot com", "EMAIL", "jane@clay-works dot com"),
        ("joan(a)clay-works.com", "EMAIL", "joan(a)clay-works.com"),
        ("jane{at}bonn{dot}de", "EMAIL", "jane{at}bonn{dot}de"),
        ("jane (at) bonn [.] de", "EMAIL", "jane (at) bonn [.] de"),
        ("jane&#64;bonn.de", "EMAIL", "jane&#64;bonn.de"),
        ("jane_at_bonn_dot_de", "EMAIL", "jane_at_bonn_dot_de"),
        ("jane AT bonn DOT de", "EMAIL", "jane AT bonn DOT de"),
        ("jane arroba correo punto es", "EMAIL", "jane arroba correo punto es"),
        ("tom.miller at clay-works.com", "EMAIL", "tom.miller at clay-works.com"),
        ("Ann <ann at clay-works.com> wrote", "EMAIL", "ann at clay-works.com"),
        ("e-mail: jane at bonn.de", "EMAIL", "jane at bonn.de"),
        ("miller42 at gmail.com", "EMAIL", "miller42 at gmail.com"),
        ("用户@例子厂.公司 回答", "EMAIL", "用户@例子厂.公司"),
        ("请写信给 用户@例子厂.公司。谢谢", "EMAIL", "用户@例子厂.公司"),
        ("लिखें अजय@डाटाघर.भारत पर", "EMAIL", "अजय@डाटाघर.भारत"),
        ("пишите анна@пример.рф сегодня", "EMAIL", "анна@пример.рф"),
        ("jane@bücher-haus.de", "EMAIL", "jane@bücher-haus.de"),
        ("get http://jane:pass@clay.com/x", "SECRET", "jane:pass"),
        ("call (212) 736-5000 now", "PHONE", "(212) 736-5000"),
        ("Phone:\n358 0594", "PHONE", "358 0594"),
        ("655 437 108 office", "PHONE", "655 437 108"),
        ("12 Mill Lane\n930.167.3943 fax", "PHONE", "930.167.3943"),
        ("51 516 33 75 (mobile), Anna", "PHONE", "51 516 33 75"),
        ("(M) 0688 872 49 99, or 0393 114 4137 (H)", "PHONE", "0393 114 4137"),
        ("Desk: 540 392 6876", "PHONE", "540 392 6876"),
        ("T: 020 7123 99887", "PHONE", "020 7123 99887"),
        ("They are not answering at 99 668472", "PHONE", "99 668472"),
        ("I get no more messages to 0688 872 49 99", "PHONE", "0688 872 49 99"),
        ("sent to my registered number 0961-7596216.", "PHONE", "0961-7596216"),
        ("reach me on 374 780 163.", "PHONE", "374 780 163"),
        ("+46 (0)179 459 33", "PHONE", "+46 (0)179 459 33"),
        ("ask +447700 208 815 for it", "PHONE", "+447700 208 815"),
        ("(898) 666-3621 is invented", "PHONE", "(898) 666-3621"),
        ("call 212-736-5000 x42 now", "PHONE", "212-736-5000"),
        ("Seattle, WA 98195 (206) 543-7798", "PHONE", "(206) 543-7798"),
        ("ring +44 20 7946 0958 today", "PHONE", "+44 20 7946 0958"),
        ("ring 0044 20 7946 0958 today", "PHONE", "0044 20 7946 0958"),
        ("phone: 2127365000", "PHONE", "2127365000"),
        ("Telephone number 736-5000, or", "PHONE", "736-5000"),
        ("Emergency Cell #: 530.401.7099", "PHONE", "530.401.7099"),
        ("Mobile: 07700 900123", "PHONE", "07700 900123"),
        ("call me on 450 0840 tonight", "PHONE", "450 0840"),
        ("Your IP is 93.184.216.34.", "IP", "93.184.216.34"),
        ("resolver 8.8.8.8 answers", "IP", "8.8.8.8"),
        ("at 2001:4860:4860::8844 or", "IP", "2001:4860:4860::8844"),
        ("card 4111 1111 1111 1111 ok", "CARD", "4111 1111 1111 1111"),
        ("5555-5555-5555-4444", "CARD", "5555-5555-5555-4444"),
        ("amex 378282246310005", "CARD", "378282246310005"),
        ("to DE89 3704 0044 0532 0130 00 please", "IBAN", "DE89 3704 0044 0532 0130 00"),
        ("GB82WEST12345698765432", "IBAN", "GB82WEST12345698765432"),
        ("her number is 536-90-4399.", "SSN", "536-90-4399"),
        ("SSN: 536904399", "SSN", "536904399"),
        ("aws AKIAIOSFODNN7EXAMPLE", "SECRET", "AKIAIOSFODNN7EXAMPLE"),
        ("ghp_" + "a1B2" * 9, "SECRET", "ghp_" + "a1B2" * 9),
        ("github_pat_" + "a1B2" * 9, "SECRET", "github_pat_" + "a1B2" * 9),
        ("xoxb-123456789012-abcdefGHIJ", "SECRET", "xoxb-123456789012-abcdefGHIJ"),
        ('api_key = "hT7d9sKq2LmXw0ZpQ4"', "SECRET", "hT7d9sKq2LmXw0ZpQ4"),
        ("eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJSMeK", "SECRET", "eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJSMeK"),
    ],
)
def test_finds(text: str, kind: str, value: str) -> None:
    assert found(text) == [(kind, value)]


def test_finds_a_private_key_with_its_body() -> None:
    key = (
        "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEpAIBAAKCAQEA0Z3VS5JJcds3xfn\n" * 3 + "-----END RSA PRIVATE KEY-----"
    )
    assert found(f"before\n{key}\nafter") == [("SECRET", key)]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Tel. 030 / 269 97-361", "de"),
        ("erreichbar unter 030 901820", "de"),
        ("Téléphone : 01 42 68 53 00", "fr"),
        ("au 01 42 68 53 00 le matin", "fr"),
        ("mon portable 06 12 34 56 78", "fr"),
        ("Handy 01712345678", "de"),
        ("Telefonnummer: 30901820", "de"),
        ("tel. dom. nie działa, komórka 601 234 568", "pl"),
        ("móvil 612 345 678", "es"),
        ("моб. 8 916 123 45 67", "ru"),
        ("τηλ: 24630-52437", "el"),
        ("电话：010-65529988", "zh"),
        ("тел. 8 (495) 629-40-08", "ru"),
        ("tél. 05 36 49 12 34", "fr"),
        ("appelez le 05 36 49 12 34", "fr"),
        ("tlf. 22 33 44 55", "da"),
        ("ring 22 33 44 55", "no"),
        ("puh. 040 123 4567", "fi"),
        ("GSM 0471 23 45 67", "nl"),
        ("携帯 090-1234-5678", "ja"),
        ("전화: 02-312-3456", "ko"),
        ("טלפון: 03-6123456", "he"),
        ("โทร 02-123-4567", "th"),
        ("telepon: 021-5551234", "id"),
        ("điện thoại: 024 3825 1234", "vi"),
    ],
)
def test_phone_numbers_of_the_language(text: str, language: str) -> None:
    spans = find(text, DEFAULT, language)
    assert [span.kind for span in spans] == [PiiKind.PHONE]
    assert phonenumbers.is_possible_number(phonenumbers.parse(spans[0].key))


@pytest.mark.parametrize(
    "text",
    [
        "ISBN 978-3-16-148410-0 and ISBN 0-306-40615-2",
        "doi:10.1016/j.cell.2014.05.010 pages 1234-5678",
        "on 12.10.2020, 2020-10-12, 10/12/2020, and 1939-1945",
        "version 1.2.3.4 of release 10.15.7.1; section 4.2.1.10",
        "192.168.1.1, 10.0.0.1, 127.0.0.1, 172.16.0.9, ::1, fe80::1",
        "mail you@example.com, a@b.example, root@localhost",
        "git@github.com:user/repo.git and logo@2x.png and a@b.transpose",
        "1 234 567 people, $1,234,567.89, 1.234.567 Euro, 3.14159265358979",
        "order 20231234567, item no. 123-456-7890, invoice 555-123-4567",
        "4111 1111 1111 1112 fails the check digit; EAN 4006381333931",
        "DE89 3704 0044 0532 0130 01 fails its checksum",
        "000-12-3456, 666-12-3456, and 900-12-3456 are no numbers of the kind",
        "std::vector a::b and 12:30:45",
        "password = correcthorsebatterystaple and token: your-token-goes-here-soon",
        "look at me and that dot",
        "Television sold 12 000 000 units, the mobile market 150 000 000, you call 20 000 000 people and 100000 times",
        "cell counts of 1 200 000, the cell contains 6 000 000 000 base pairs, cells 10.2345678, cell line 293 100 000",
        "a handy list of 1000000 words, a call 123456789 bytes long, call 2020-10-12, call option 123456.78",
        "telescope data from 2019-2021, the telegram of 12.05.1917, televised 1998-2004, a cell phone (2007-2012)",
        "Ruf wie 2019-2020, Rufname 1914-1918, Telekom 2019-2020, мобилизация 300 000 000, тело 100 200 300",
        "Mol Cell 25 (2007) 345-357, Mobile, AL 36602-1234, telephone in 1876, 1877, smartphones 250 000 000",
        "100 200 300 400 500 600 and 1 2 3 4 5 6 7 8 9 10",
        "stuck at some point in life, Hopefully at this point you have it, said at another point to the press",
        "We met at noon at the kiln, look at python.org, or at noon at example.org.",
        "node.js at nodejs.org, ASP.NET at microsoft.com, Windows10 at microsoft.com, version 2.0 at github.com",
        "Read more at nytimes.com, visit us at amazon.com, photos @ flickr.com, option (a) amazon.com, look-at-it.com",
        "the winners are 05 17 23 38 44 and 02 14 27 31 49, CVR 25 31 38 74, cast on 20 24 31 36, then 22 33 44 55",
        "won 102-98, 4-6 6-4 7-5, 21-19 21-15, sizes 34 36 38 40 42, at 48.8583 2.2945, 52° 31' 12'' N",
        "account 1234 5678 9012, ticket 123-456-789, case 12-345678, catalog 555 123 45, SIRET 123 456 789 00012",
        "sales were 1 200 000 mobile phones, 250 000 home visits, 2 500 000 office workers, and 12 345 678 in all",
        "Office: 2019-2020, home: 12.05.2019, work 1914-1918, direct: 10.1016/7654321",
    ],
)
@pytest.mark.parametrize("language", ["en", "de", ""])
def test_texts_without_personal_data_are_unchanged(text: str, language: str) -> None:
    assert find(text, DEFAULT, language) == []


def test_placeholders_are_the_same_for_the_same_value() -> None:
    text, counts = scrub("a@web.de, b@web.de, A@web.de; +1 212 736 5000 and (212) 736-5000", DEFAULT, "en")
    assert text == "<EMAIL_1>, <EMAIL_2>, <EMAIL_1>; <PHONE_1> and <PHONE_1>"
    assert counts == {PiiKind.EMAIL: 3, PiiKind.PHONE: 2}


def test_title_and_text_share_the_numbers_and_all_is_counted() -> None:
    result = scrub_pii.build(DEFAULT)(document("write to b@web.de or a@web.de", title="a@web.de"))
    assert isinstance(result, Document)
    assert (result.title, result.text) == ("<EMAIL_1>", "write to <EMAIL_2> or <EMAIL_1>")
    assert result.signals["pii_emails"] == result.signals["pii_finds"] == 3
    assert set(result.signals) == set(scrub_pii.SIGNALS)
    assert result.signals["pii_per_1000_words"] == 1000 * 3 / 5


def test_every_placeholder_is_in_the_vocabulary() -> None:
    text, _ = scrub(" ".join(f"person{n}@web.de" for n in range(MAX_NUMBERED + 5)), DEFAULT)
    assert set(text.split()) <= set(PLACEHOLDERS)
    assert text.split().count("<EMAIL>") == 5
    assert len(set(PLACEHOLDERS)) == len(PLACEHOLDERS) == len(PiiKind) * (MAX_NUMBERED + 1)


def test_every_kind_can_be_switched_off() -> None:
    text = (
        "a@web.de; (212) 736-5000; 93.184.216.34; 4111111111111111; GB82WEST12345698765432; 536-90-4399; "
        "AKIAIOSFODNN7EXAMPLE"
    )
    switches = ["emails", "phones", "ip_addresses", "cards", "ibans", "social_security_numbers", "secrets"]
    assert len(find(text, DEFAULT)) == len(switches)
    off: dict[str, Any] = dict.fromkeys(switches, False)
    for switch in switches:
        assert len(find(text, ScrubPiiSettings(**(off | {switch: True})))) == 1
    assert scrub(text, ScrubPiiSettings(**off)) == (text, {})


def test_the_words_of_a_script_without_spaces_are_counted_by_characters() -> None:
    contacts = "".join(f"第{number}组请写信给 name{number}@mail-host.net 联系。" for number in range(12))
    page = document(contacts + "这本书讲述了城市的历史和居民的生活。" * 40)
    result = scrub_pii.build(ScrubPiiSettings())(page)
    assert isinstance(result, Document)
    assert result.signals["pii_finds"] == 12
    assert 0 < result.signals["pii_per_1000_words"] < 40


@pytest.mark.parametrize(
    ("settings", "finds", "words"),
    [(ScrubPiiSettings(max_finds=2), 3, 500), (ScrubPiiSettings(max_finds_per_1000_words=50, few_finds=2), 3, 20)],
)
def test_drops_a_page_of_personal_data(settings: ScrubPiiSettings, finds: int, words: int) -> None:
    text = " ".join([f"p{n}@web.de" for n in range(finds)] + ["word"] * words)
    dropped = scrub_pii.build(settings)(document(text))
    assert isinstance(dropped, Dropped)
    assert dropped.reason is ScrubPiiReason.TOO_MUCH_PII
    assert dropped.value is not None
    assert dropped.threshold is not None
    assert dropped.value > dropped.threshold
    assert "@" not in dropped.record.text  # type: ignore[union-attr]
    assert isinstance(
        scrub_pii.build(ScrubPiiSettings(max_finds=None, max_finds_per_1000_words=None))(document(text)), Document
    )


_PIECES = st.sampled_from(
    [
        *("a@b.de", "x.y@mail.example.com", "(at)", " at ", " dot ", "web", ".de", "@", ".", "-", "+", "+49 30 901820"),
        *("030/", "212-", "736-5000", "(212) ", "4111 1111 1111 1111", "GB82 WEST 1234 5698 7654 32", "536-90-4399"),
        *("8.8.8.8", "1.2.3.4", "93.184.216.34", "2001:db8::1", "2001:4860::8888", "AKIAIOSFODNN7EXAMPLE", "sk-"),
        *("key=", "hT7d9sKq2LmXw0Zp", "eyJ", "isbn ", "tel ", "<EMAIL_1>", "<", ">", " ", "\n", "1", "0", "٣", "é"),
        *("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"),
    ]
)


@hypothesis_settings(max_examples=400, deadline=None)
@given(
    st.one_of(st.text(), st.lists(_PIECES, max_size=14).map("".join)),
    st.sampled_from(["", "en", "de", "fr", "zh", "xx"]),
)
def test_a_second_pass_finds_nothing(text: str, language: str) -> None:
    scrubbed, _ = scrub(text, DEFAULT, language)
    assert find(scrubbed, DEFAULT, language) == []
    assert find(scrubbed, DEFAULT) == []  # and neither does an audit that does not know the language
    assert scrub(scrubbed, DEFAULT, language) == (scrubbed, {})


@hypothesis_settings(max_examples=200, deadline=None)
@given(st.lists(_PIECES, max_size=14).map("".join))
def test_spans_are_in_order_and_do_not_overlap(text: str) -> None:
    spans = find(text, DEFAULT, "de")
    assert all(a.end <= b.start for a, b in pairwise(spans))
    assert all(0 <= span.start < span.end <= len(text) for span in spans)


HOSTILE = """
from pipeline.stages.scrub_pii import ScrubPiiSettings, find, scrub
kinds = ["a", "@", "a@", "a.", "1", "1 ", "1-", "(1", "+1 ", "1.", "1:", ":", "f:", "-", "-----BEGIN PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----\\nabc ", "key=", "password = ", "eyJ.", "eyJaaaaaaaaa-", "GB82 WEST 1234 ", "4111 ",
    "a (at) ", "a at b dot ", "\\u0661", "\\u0661 ", "8.8.8.8 ", "2001:", "sk-", "212-", "tel 1 ", "<",
    "a at b.de ", "a.b at ", "用@", "用.", "用@公司.", "(a)", "a_at_", "a@b dot ", "a'", "://a:", "@ ", "tel:\\n",
    "fax ", "call me at ", "555-1234 office ", "<EMAIL_1>"]
for kind in kinds:
    text = kind * (200_000 // len(kind))
    scrubbed, _ = scrub(text, ScrubPiiSettings(), "en")
    assert not find(scrubbed, ScrubPiiSettings(), "en"), kind
print("done")
"""


def test_hostile_text_takes_linear_time() -> None:
    """7 MB in 120 CPU seconds are many times what linear patterns need; a quadratic one needs hours for a kind."""
    result = subprocess.run(
        [sys.executable, "-c", HOSTILE],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (120, 120)),
    )
    assert result.stdout == "done\n", result.stderr[-2000:]


def test_names_without_a_model_are_an_error_with_instructions() -> None:
    pytest.importorskip("presidio_analyzer")
    with pytest.raises(UserError, match=r"no spaCy model 'no_such_model'.*pip install"):
        scrub_pii.build(ScrubPiiSettings(names=True, names_model="no_such_model"))


def test_names_without_presidio_are_an_error_with_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    with pytest.raises(UserError, match=r"scrub_pii\.names needs Presidio"):
        scrub_pii.build(ScrubPiiSettings(names=True, names_model="another_model"))


def test_names_by_presidio(tmp_path: Path) -> None:
    spacy = pytest.importorskip("spacy")
    pytest.importorskip("presidio_analyzer")
    model = spacy.blank("en")
    model.add_pipe("entity_ruler").add_patterns([{"label": "PERSON", "pattern": "Ada Lovelace"}])
    model.to_disk(tmp_path / "model")
    settings = ScrubPiiSettings(names=True, names_model=str(tmp_path / "model"))
    assert scrub("Ask Ada Lovelace (ada@web.de). Ada Lovelace knows.", settings)[0] == (
        "Ask <NAME_1> (<EMAIL_1>). <NAME_1> knows."
    )
    before = file_digests(Config(scrub_pii=settings))
    assert "scrub_pii:model/config.cfg" in before
    assert settings_as_json(Config(scrub_pii=settings))["scrub_pii"]["names_model"].endswith("0/model")
    (tmp_path / "model/entity_ruler/patterns.jsonl").write_text('{"label": "PERSON", "pattern": "Ada"}\n')
    assert file_digests(Config(scrub_pii=settings)) != before


def test_the_files_of_a_package_of_names_are_hashed() -> None:
    assert "spacy/__init__.py" in {
        name.split(":")[1] for name in file_digests(Config(scrub_pii=ScrubPiiSettings(names=True, names_model="spacy")))
    }
    assert model_files("no_such_model") == model_files("no.such.model") == model_files("") == []
