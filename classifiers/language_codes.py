"""One code for a language, whatever the identifier calls it: lid.176's codes.

lid.176 has ISO 639-1 codes (`en`) where there are some. GlotLID and OpenLID label with ISO 639-3 and the script
(`eng_Latn`, `cmn_Hani`), and name the members of macrolanguages (`arb`, `ekk`, `zsm`). A language that lid.176 does not
have keeps its three letters.
"""

from __future__ import annotations

import re

# ISO 639-3 (members of macrolanguages among them) -> the code of lid.176.
_CODES = """
    afr:af als:sq amh:am arb:ar ara:ar arg:an asm:as ava:av azj:az aze:az bak:ba bel:be ben:bn bho:bh bih:bh bod:bo
    bos:bs bre:br bul:bg cat:ca ces:cs che:ce chv:cv cmn:zh cor:kw cos:co cym:cy dan:da deu:de div:dv ekk:et ell:el
    eng:en epo:eo est:et eus:eu fas:fa fil:tl fin:fi fra:fr fry:fy gla:gd gle:ga glg:gl glv:gv grn:gn gsw:als gug:gn
    guj:gu hat:ht hbs:sh heb:he hin:hi hrv:hr hun:hu hye:hy ido:io ile:ie ina:ia ind:id isl:is ita:it jav:jv jpn:ja
    kan:kn kat:ka kaz:kk khk:mn khm:km kir:ky kmr:ku kom:kv kor:ko kpv:kv kur:ku lao:lo lat:la lav:lv lim:li lit:lt
    ltz:lb lvs:lv mal:ml mar:mr mkd:mk mlg:mg mlt:mt mon:mn msa:ms mya:my nep:ne nld:nl nno:nn nob:no nor:no
    npi:ne oci:oc ori:or ory:or oss:os pan:pa pbt:ps pes:fa plt:mg pol:pl por:pt pus:ps quy:qu que:qu quz:qu roh:rm
    ron:ro rus:ru san:sa sin:si slk:sk slv:sl snd:sd som:so spa:es sqi:sq srd:sc srp:sr sun:su swa:sw swe:sv swh:sw
    tam:ta tat:tt tel:te tgk:tg tgl:tl tha:th tuk:tk tur:tr uig:ug ukr:uk urd:ur uzb:uz uzn:uz vie:vi vol:vo wln:wa
    ydd:yi yid:yi yor:yo zho:zh zsm:ms prs:fa pnb:pnb apc:ar ajp:ar acm:ar acq:ar ars:ar ary:ar aeb:ar apd:ar acw:ar
    ayl:ar
"""
_BY_CODE = dict(pair.split(":") for pair in _CODES.split())
_THREE_LETTERS = re.compile(r"([a-z]{3})(?:_[A-Z][a-z]{3})?")
_MEMBER = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")


def code_of(label: str, labels_have_scripts: bool) -> str:
    """The code of a model's label. lid.176's own labels stay: its `als` is Alemannic, ISO 639-3's is Tosk Albanian.

    >>> code_of("eng_Latn", True), code_of("zho_Hant", True), code_of("als_Latn", True), code_of("als", False)
    ('en', 'zh', 'sq', 'als')
    """
    found = _THREE_LETTERS.fullmatch(label) if labels_have_scripts else None
    return _BY_CODE.get(found[1], found[1]) if found else label


def have_scripts(labels: list[str]) -> bool:
    """Whether the labels are those of GlotLID and OpenLID: most of them a code and a script."""
    return sum(bool(_MEMBER.fullmatch(label)) for label in labels) > len(labels) / 2
