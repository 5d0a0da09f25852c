"""Words beside telephone numbers: labels before and behind them, verbs of calling, words that name other numbers."""

from __future__ import annotations

import re

# Words for phones and faxes with their inflections and compounds: telephone, Telefonnummer, Faxnr, телефоны.
_NAMES = (
    r"\b(?:t[eé]l[eéè](?:ph|f)[oóôò]\w*|t[eé]l(?:[eé]f|efax|p)?|tlf|tfno|tfn|fono|phones?|phone numbers?|fax\w*"
    r"|faks\w*|whatsapp|sms"
    r"|hotline|kom[oó]rk\w+|móvil|celular|cellulare|cep tel\w*|gsm|natel|telepon|ponsel|telefoon\w*|puh(?:elin\w*)?"
    r"|matkapuhelin"
    r"|gsm-nummer|mobiltelefon\w*|mobilnummer|mobielnummer|sími|farsími|tālr(?:unis)?|điện thoại|sđt|đt|di động"
    r"|τηλ\w*|φαξ|κιν(?:ητ\w*)?|тел(?:ефон\w*)?|факс\w*|моб(?:ильн\w+)?)\b"
    r"|电话|電話|手机|手機|传真|傳真|热线|携帯|ファックス|전화|연락처|휴대폰|핸드폰|팩스|טלפון|נייד|פקס|هاتف|جوال|موبايل|فاكس|تلفن|موبایل|تليفون"
    r"|फ़ोन|फोन|मोबाइल|दूरभाष|โทร|มือถือ|☎|📞|✆|📱|℡"
)
_OTHERS = r"\b(?:mobil[eo]?|cell|call|calling|handy|fon|ruf|portable)\b"  # words with other meanings, too
# Only before a colon, where they are the labels of a contact list.
_PLACES = (
    r"\b(?:office|desk|direct(?: line)?|work|home|main|toll[- ]?free|free ?phone|landline|switchboard|reception|mob"
    r"|ph|contact(?: no)?"
    r"|emergency|after hours|customer service|helpline|büro|zentrale|privat|dienstlich|durchwahl|standard|accueil"
    r"|bureau|domicile"
    r"|oficina|casa|trabajo|ufficio|kantoor|kontor|hjem|hem|arbete|biuro|práce|работа|офис)\b"
)
LABEL = re.compile(
    rf"(?:(?:{_NAMES})(?:[ ./-]{{0,3}}(?:no|nr|num\w*|nummer|número|№|号码|番号|번호))?"
    rf"|(?:{_OTHERS})(?=[ .#]{{0,3}}[:：]))"
    r"[^\w\n,;!?]{0,8}$"
)
PLACE = re.compile(
    rf"(?:(?:{_PLACES})(?=[ .#]{{0,3}}[:：])|(?:^|[|,;•·/])\s{{0,3}}[tpmfcdowh][:.](?=\s?$))[^\w\n]{{0,8}}$"
)
# Directly before the number: what is dialed, even if no such number exists.
DIALING = re.compile(
    r"(?:\b(?:call|reach|phone|ring|dial|text|contact|message|whatsapp)(?:ed|ing)?(?: (?:me|us|him|her|them|you"
    r"|back|now|today|\w+ team))?"
    r"(?: (?:at|on|to|via|under))?|answer(?:ing|ed)? (?:at|on|to)|(?:messages?|calls?|texts?|sms) (?:to|from|at|on)"
    r"|(?:my|your|his|her|our|their)(?: \w+)? (?:number|phone|cell|mobile|telephone|registered"
    r"|landline)(?: number)?(?: is|'s|’s)?"
    r"|(?:phone|contact|telephone|mobile|cell|fax|whatsapp|registered)(?: number)?(?: is|'s|’s| (?:at|on|to))?"
    r"|appel(?:er|ez)(?: (?:le|au))?|(?:joindre|contactez|contacter)\b.{0,20}\bau|(?:erreichbar"
    r"|erreichen sie uns) unter|rufen sie|anrufen"
    r"|llam(?:e|ar|en)(?: al)?|chiam(?:a|are|ate)(?: (?:il|al))?|ligue(?: para)?|bel(?:len)?(?: naar)?|ring(?: til"
    r"| på)?|zadzwoń(?: pod)?"
    r"|звоните(?: по)?|позвоните(?: по)?)\s{0,2}[:：]?\s{0,2}$"
)
CUE = re.compile(rf"(?:{_NAMES}|{_OTHERS})[^\d\n]{{0,24}}$|\bau(?: numéro)?\s$")
# Behind the number, at the end of its line or before punctuation or the next number.
BEHIND = re.compile(
    r"\s?[-–—/(\[]{0,2}\s?(?:x\d{1,6}\s?)?(?:office|fax|mobile|mob|cell(?:ular)?|home|work|direct|main|phone|tel"
    r"|telephone|voice|landline"
    r"|toll[- ]free|whatsapp|sms|büro|privat|mobil|handy|telefon|telefax|bureau|portable|domicile|fixe|oficina"
    r"|móvil|casa|trabajo"
    r"|ufficio|cellulare|kantoor|mobiel|kontor|hjem|hem|komórka|biuro|моб(?:\.|ильн\w*)|факс|раб\.|дом\."
    r"|[mohwfct](?=\)))[.)\]]{0,2}"
    r"(?=\s*(?:$|\n|[,;|/\\•·(+]|\d|and\b|or\b|und\b|et\b))",
    re.IGNORECASE,
)
OTHER_NUMBER = re.compile(
    r"(?:isbn|issn|\bdoi|\border|\bitem|\bmodel|\bart(?:icle|ikel)?\b|\bpart\b|\bsku\b|\bean\b|\bupc\b|\bpatent"
    r"|\binvoice|\bbestell"
    r"|\bserial|\bno\.|\bnr\.|\bid\b|#|№|\bpmid|\barxiv|\bversion|\bcas\b|\biban\b|\bust|\bvat\b|\bhrb\b|\bcvr"
    r"|\borg\.? ?n|\bse-nr"
    r"|\bsiren|\bsiret|\bnip\b|\bregon|\bkrs\b|\bkvk|\bbtw|\bcif\b|\bnif\b|\bnúmeros?\b|\binn\b|\bогрн|\bинн\b"
    r"|\bico\b|\bič[o]?\b|\baccount"
    r"|\bkonto|\bcard\b|\bpassport|\bcase\b|\bdocket|\bticket|\btracking|\bcatalog|\bhs code|\bzip\b|\bplz\b"
    r"|[$€£¥])[^\n\d]{0,12}$"
)


def words_before(text: str, start: int, characters: int) -> str:
    """The text before a number on its line, in lower case; the label above it, if the line begins with the number."""
    line_start = text.rfind("\n", max(0, start - characters), start) + 1
    if not line_start and start > characters:
        return text[start - characters : start].lower()
    before = text[line_start:start]
    if before.strip(" \t-•·*|(") or not line_start:
        return before.lower()
    above = text[max(0, line_start - characters) : line_start].rstrip().rpartition("\n")[2]
    return f"{above.lower()} " if above.endswith((":", "：")) and len(above) < characters - 4 else before.lower()
