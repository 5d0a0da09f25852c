"""What is no part of a page's text: footnote marks, notices of scripts and policies, placeholders, leaked scripts.

Each rule asks for the form of a notice, not for a phrase: articles about JavaScript, cookies, privacy policies and
lorem ipsum have the phrases in every paragraph. Where the form is in doubt, the text stays as it is: a mark too many
costs less than `argv[1]` without its index.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

_MARK = re.compile(r"\[(\d{1,3})\]")
_EDIT = re.compile(
    r"\s?\\?\[(?:edit|edit source|Bearbeiten|Quelltext bearbeiten|Bearbeiten \| Quelltext bearbeiten|modifier"
    r"|modifier le code"
    r"|modifier \| modifier le code|editar|editar código|modifica|modifica wikitesto|bewerken|edytuj|rediger|redigera"
    r"|править|править \| править код|編集|编辑|編輯)\\?\]\s*$"
)
_NEEDED = re.compile(r"\s?\\?\[citation needed\\?\]", re.IGNORECASE)
_CODE_SPAN = re.compile(r"`[^`\n]*`")
# Evidence of indices and intervals: x[0], x[], x[i], [1] = 2, f(x)[1], "x"[1], x[1].y, x[1](, [0, 1]
_INDEX = re.compile(
    r"\[0\]|\w\[(?:[ij]|\d*:\d*|)\]|\[\d{1,3}\](?:\s?[=+*/^{]|[.]\w|[(\[]\s?[\w)]*\s?[)\]]\s*=|->|\+\+|;\s*$)|_\[\d"
)
_WORD_BEFORE = re.compile(r"(\w+)\s?$")  # nothing behind punctuation
_NAME = re.compile(r"[A-Za-z_]{1,2}|\w*_\w*")  # x[1], a_list[2]
_MIN_MARKS = 3  # different marks of a page with footnotes
_MIN_RISING = 0.8  # share of the marks of a page that are higher than all before when they first occur
_MAX_INDICES = 0.05  # lines with signs of indices per mark: long articles have some beside hundreds of footnotes
_MIN_DIFFERENT = 0.6  # share of different words before the marks

_SCRIPT_NOTICE = re.compile(
    r"(?:please|you (?:need|must|have|should)|you'll need|to (?:view|use|see|continue|enjoy|access|play|post"
    r"|display|proceed)\b"
    r"|(?:your|this|the|a) (?:web )?browser|this (?:web)?(?:site|page|app|application|content|feature|form|video"
    r"|player|forum)\b"
    r"|our (?:web)?site|for full functionality|(?:some|all) features|we're sorry|sorry,"
    r"|^\W*(?:java)?script\w* (?:is|must|seems|appears"
    r"|required|disabled|needs)|^\W*(?:enable|activate|turn on) javascript|^\W*no(?:t)? javascript"
    r"|bitte|ihr(?:em|en)? browser|diese (?:web)?seite|veuillez|votre navigateur|ce site|cette page|por favor"
    r"|su navegador|tu navegador"
    r"|este sitio|esta página|per favore|il tuo browser|questo sito|seu navegador|este site)",
)
_SCRIPT_STATE = re.compile(
    r"(?:enabled?|activated?|turn(?:ed)? (?:it )?on|turned off|disabled?|requires?|required|needs?|without"
    r"|(?:does not|doesn't|not) support"
    r"|aktivier\w*|deaktiviert|ben[öo]tigt|activ[aeé]\w*|désactivé|habilit\w*|desactivad\w*|ativ\w*|abilit\w*"
    r"|disabilit\w*)"
    r"\W{0,3}(?:\w+\W+){0,4}javascript|javascript\W+(?:\w+\W+){0,5}?(?:enabled?|disabled?|activated?|on|off"
    r"|required|needed|support(?:ed)?"
    r"|aktivier\w*|deaktiviert|activ[aeé]\w*|désactivé|habilit\w*|desactivad\w*|desabilitad\w*|ativ\w*|abilit\w*"
    r"|disabilit\w*)\b"
)
# What a notice about scripts consists of beside the name of what needs them. A sentence of an article that asks for
# JavaScript ("..., and the wheel of the example turns") has words of its own.
_NOTICE_WORDS = frozenset(
    """
    javascript js please enable enabled enabling activate activated turn turned on off in into your you we us our the
    this that these it its a an of to for from is are be by and or not no have has must need needs needed should want
    would like will can cannot could may order require required requires disabled disable disabling support supports
    supported supporting browser browsers web website websites site sites page pages app application content contents
    feature features functionality function functions form video videos player forum shop comment comments map game
    view viewing see use using used run running work works working properly correctly full fully some all any most
    other because without with if when which does do don doesn isn won re ll ve necessary appears seems sorry but try
    again reload refresh then continue proceed settings setting post posting display displayed access enjoy experience
    best better recommended thank thanks click here instructions how learn more instead upgrade update modern newer
    version latest switch cookies powered disqus load loaded play listen watch complete verify security check blocker
    as currently either at before also only visit active options available offer
    bitte aktivieren aktiviere aktiviert aktivierten sie javascripts ihrem ihren ihr browsers browsereinstellungen um
    diese dieser seite webseite website vollständig nutzen zu können ist deaktiviert benötigt benötigen den die das im
    für und werden muss sein anzeigen anzuzeigen
    veuillez activer activez activé désactivé votre navigateur pour afficher voir utiliser cette ce le la les du de
    est sur dans et page site ceci
    por favor active activa activar habilite habilitar habilitado desactivado su tu navegador para ver usar esta este
    página sitio el en y
    per favore attiva attivare abilita abilitare abilitato disabilitato il tuo nel browser questa questo pagina sito
    visualizzare
    ative ativar habilite seu no navegador o site esta visualizar
    """.split()  # noqa: SIM905  as above
)
_MIN_NOTICE = 0.75  # share of such words in a notice
_QUOTES = re.compile(r"[\"“”„«»]")
_LONGEST_NOTICE = 400  # characters
_OF_ARTICLE = 3  # lines about JavaScript beside the notices: the page is about it

_POLICY = re.compile(
    r"\b(?:by (?:using|continuing|clicking|signing|registering|submitting|browsing|visiting|accessing|creating"
    r"|logging|subscribing"
    r"|proceeding|entering|closing|checking|pressing)\b.{0,120}(?:agree|accept|consent|acknowledge|terms|policy"
    r"|cookies)"
    r"|(?:we|(?:this|our) (?:web)?sites?|our partners|[\w.-]+\.(?:com|org|net"
    r"|co\.uk)) (?:and our partners )?(?:may )?uses? (?:of )?cookies"
    r"|(?:i|you) (?:have read and |hereby )*(?:agree|accept|consent)\b.{0,60}(?:terms|policy|cookies)"
    r"|(?:read|see|view|review|visit|refer to|learn more|find out more|more information|details)\b.{0,40}\b(?:our|the)"
    r" (?:privacy|cookie)s? (?:policy|notice)|subject to (?:our|the) (?:terms|privacy)|protected by recaptcha"
    r"|please (?:read|review|accept|see)\b.{0,40}(?:terms|policy)|use of (?:this|our) (?:web)?site (?:is|constitutes))"
)
_SITE = re.compile(
    r"site|experience|consent|accept|agree|brows|traffic|analy|preferences|policy|personali[sz]|\bads?\b|advert|continu"
)
_POLICY_PHRASES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
_LINK_LINE_WORDS = 12  # a line with such a phrase of at most this many words and without a sentence is a row of links

_FILLER = frozenset(
    """
    lorem ipsum dolor sit amet consectetur consectetuer adipiscing adipisicing elit sed do eiusmod tempor
    incididunt ut labore et dolore magna aliqua enim ad minim veniam quis nostrud exercitation ullamco laboris
    nisi aliquip ex ea commodo consequat duis aute irure in reprehenderit voluptate velit esse cillum eu fugiat
    nulla pariatur excepteur sint occaecat cupidatat non proident sunt culpa qui officia deserunt mollit anim id
    est laborum aenean massa cum sociis natoque penatibus magnis dis parturient montes nascetur ridiculus mus
    donec quam felis ultricies nec pellentesque pretium sem vestibulum vivamus elementum semper nisl mauris
    faucibus phasellus viverra curabitur ullamcorper nullam rhoncus tincidunt maecenas tempus condimentum libero
    neque a ac
    """.split()  # noqa: SIM905  a list of 120 words would take 120 lines
)
_FILLER_START = re.compile(r"\b(?:lorem ipsum|dolor sit amet)\b")
_LETTERS = re.compile(r"[^\W\d_]+")
_MIN_FILLER = 0.6  # share of a placeholder's words that are of the usual passages

_SCRIPT = re.compile(r"[;=]|\bfunction\b|=>|\(\)|\):|'\w+'\s*:|\w+\s*:\s*['\"\d{[]")
_SCRIPT_STOP_WORDS = 3  # common words from which a line with brackets is prose about code


def has_footnotes(lines: Sequence[str]) -> bool:
    """Whether the marks `[1]` of these lines are footnotes: they count up from line to line, behind different words.

    Without such evidence `counts[3]` is an index. One mark alone is none, unless it follows the end of a sentence.
    """
    seen: set[int] = set()
    before: list[str] = []
    rising = highest = indices = 0
    for line in lines:
        if "[" not in line:
            continue
        plain = _CODE_SPAN.sub("`", line).replace("\\[", "[").replace("\\]", "]")
        indices += _INDEX.search(plain) is not None
        for mark in _MARK.finditer(plain):
            if not plain[: mark.start()].strip():
                continue  # the label of a reference: [1] Smith 2003
            number = int(mark[1])
            rising += number > highest
            seen.add(number)
            highest = max(highest, number)
            word = _WORD_BEFORE.search(plain, max(0, mark.start() - 40), mark.start())
            indices += word is not None and _NAME.fullmatch(word[1]) is not None
            before.append(word[1] if word else f"{len(before)}")
    return (
        len(seen) >= _MIN_MARKS
        and indices <= _MAX_INDICES * len(before)
        and rising >= _MIN_RISING * len(seen)
        and len(set(before)) >= _MIN_DIFFERENT * len(before)
    )


def remove_citations(line: str, footnotes: bool) -> str:
    """The line without footnote marks (`footnotes`: all of them; else those behind a sentence), [edit] at its end."""
    pieces = _CODE_SPAN.split(line)
    spans = _CODE_SPAN.findall(line)
    marks = _FOOTNOTE if footnotes else _AFTER_SENTENCE
    cleaned = [_NEEDED.sub("", marks.sub("", piece)) if "[" in piece else piece for piece in pieces]
    joined = "".join(part for pair in zip(cleaned, [*spans, ""], strict=True) for part in pair)
    return _EDIT.sub("", joined).strip() if "[" in joined else joined.strip()


# Not at the start of a line, where a number in brackets is the label of a reference. Markdown may escape the brackets.
_FOOTNOTE = re.compile(r"(?<=[^\s\[\\])\s?(?:\\?\[\d{1,3}(?:[-–,]\s?\d{1,3})*\\?\])+(?=\W|$)(?!\s?[=({])")
_AFTER_SENTENCE = re.compile(r"(?<=[^\W\d_][^\W\d_][.!?…»”])(?:\\?\[\d{1,3}\\?\])+(?=\s|$)")


def may_have_notices(lowered: str) -> bool:
    """Whether a text, in lower case, has a phrase of which each notice of scripts and policies has one."""
    return "javascript" in lowered or any(phrase in lowered for phrase in _POLICY_PHRASES)


def is_script_notice(lowered: str) -> bool:
    """A line that asks the reader to enable JavaScript and says nothing else, in lower case."""
    if "javascript" not in lowered or not (_SCRIPT_STATE.search(lowered) and _SCRIPT_NOTICE.search(lowered)):
        return False
    words = _LETTERS.findall(lowered)
    return not _QUOTES.search(lowered) and sum(word in _NOTICE_WORDS for word in words) >= _MIN_NOTICE * len(words)


def is_about_scripts(lines: Iterable[str]) -> bool:
    """Whether a page is about JavaScript, so that a line that asks for it may be a step of its instructions."""
    named = (lowered for line in lines if "javascript" in (lowered := line.lower()))
    return sum(len(line) > _LONGEST_NOTICE or not is_script_notice(line) for line in named) >= _OF_ARTICLE


def is_policy_notice(lowered: str) -> bool:
    """A line about the site's own cookies, privacy policy or terms of use, in lower case."""
    if not any(phrase in lowered for phrase in _POLICY_PHRASES):
        return False
    if _POLICY.search(lowered):
        return "use cookies" not in lowered or bool(_SITE.search(lowered))
    return not lowered.endswith((".", "!", "?")) and len(lowered.split()) <= _LINK_LINE_WORDS


def is_placeholder(line: str) -> bool:
    """A line of "lorem ipsum" rather than about it."""
    lowered = line.lower()
    if not _FILLER_START.search(lowered):
        return False
    words = _LETTERS.findall(lowered)
    return sum(word in _FILLER for word in words) >= _MIN_FILLER * len(words)


def find_placeholders(lines: Iterable[str]) -> list[str]:
    """The placeholders among the lines; none on a page that is about them."""
    lines = [line for line in lines if _FILLER_START.search(line.lower())]
    found = [line for line in lines if is_placeholder(line)]
    return found if len(found) == len(lines) else []


def is_leaked_script(line: str, common_words: Collection[str]) -> bool:
    """A line of code between paragraphs: brackets and operators, and hardly a function word."""
    if "\\" in line or not ("{" in line and _SCRIPT.search(line)):  # a backslash is a formula's
        return False
    return sum(word in common_words for word in _LETTERS.findall(line.lower())) < _SCRIPT_STOP_WORDS
