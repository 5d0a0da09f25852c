"""Pages that must be kept: 171 stories on 23 sites, in six languages and six charsets, and 18 unusual pages."""

# ruff: noqa: E501  sentences and markup are easier to read on one line

from __future__ import annotations

import json
from html import escape

from tests.minicrawl import sites
from tests.minicrawl.captures import Capture
from tests.minicrawl.grammar import Story, count_subjects, make_story
from tests.minicrawl.sites import Site

_FOOTERS = {
    "en": "All texts and pictures on this site belong to their authors; reprints only after asking the editors first.",
    "de": "Alle Rechte vorbehalten. Nachdruck nur mit ausdrücklicher Genehmigung der Redaktion und Nennung der Quelle.",
    "fr": "Tous droits réservés. Toute reproduction, même partielle, est soumise à l'accord écrit de la rédaction.",
    "es": "Todos los derechos reservados. Se prohíbe la reproducción sin el permiso escrito de la redacción.",
    "ru": "Все права защищены. Перепечатка материалов возможна только с письменного согласия редакции.",
    "zh": "版权所有，未经本站书面许可，不得以任何形式转载。",
}
_MENUS = {
    "de": ("Startseite", "Lokales", "Kultur", "Archiv", "Impressum"),
    "fr": ("Accueil", "Actualités", "Culture", "Archives", "Contact"),
    "es": ("Portada", "Noticias", "Cultura", "Archivo", "Contacto"),
    "ru": ("Главная", "Новости", "Культура", "Архив", "Контакты"),
    "zh": ("首页", "文章", "归档", "关于我们"),
}


def _site(
    host: str, name: str, layout: str, language: str = "en", charset: str = "utf-8", declared: str = "header"
) -> Site:
    menu = _MENUS.get(language, ("Home", "Latest", "Archive", "About us", "Contact"))
    return Site(host, name, layout, language, charset, declared, menu, _FOOTERS[language])


SITES = {
    "en_town": _site("www.wendvalley-history.example", "Wend Valley Local History", "article"),
    "en_animal": _site("fieldnotes.example", "Field Notes", "divs", charset="windows-1252", declared="meta"),
    "en_life": _site("www.forgotten-lives.example", "Forgotten Lives", "article"),
    "en_science": _site("plain-science.example", "Plain Science", "article", declared="meta"),
    "en_news": _site("news.carrick-herald.example", "The Carrick Herald", "article"),
    "en_garden": _site("slowgarden.example", "The Slow Garden", "divs"),
    "en_travel": _site("onfoot.example", "On Foot", "divs", declared="nowhere"),
    "en_book": _site("the-reading-lamp.example", "The Reading Lamp", "article"),
    "en_match": _site("sport.carrick-herald.example", "The Carrick Herald: Sport", "article"),
    "en_health": _site("www.soundadvice.example", "Sound Advice", "article"),
    "en_forum": _site("forum.fixit-together.example", "Fix It Together", "forum"),
    "en_shop": _site("shop.hearthandhedge.example", "Hearth and Hedge", "shop"),
    "en_recipe": _site("kitchen-letters.example", "Kitchen Letters", "article"),
    "en_code": _site("docs.toolbelt.example", "toolbelt documentation", "docs"),
    "en_math": _site("lectures.example", "Evening Lectures", "article"),
    "en_table": _site("open-figures.example", "Open Figures", "article"),
    "de_news": _site("www.wiedtal-anzeiger.example", "Wiedtal-Anzeiger", "article", "de", "iso-8859-1"),
    "de_article": _site("langsam-gekocht.example", "Langsam gekocht", "divs", "de", "utf-8", "meta"),
    "fr_news": _site(
        "www.courrier-du-littoral.example", "Le Courrier du Littoral", "article", "fr", "iso-8859-15", "meta"
    ),
    "fr_article": _site("carnets-de-marche.example", "Carnets de marche", "divs", "fr"),
    "es_news": _site("www.eldiariodelrio.example", "El Diario del Río", "article", "es", "windows-1252", "meta"),
    "ru_news": _site("vesti-verhneretchensk.example", "Вести Верхнереченска", "article", "ru", "windows-1251"),
    "zh_article": _site("shougong.example", "手工记", "article", "zh", "gb18030", "meta"),
}


def stories() -> list[Capture]:
    """Each subject of each genre once."""
    return [story_page(genre, n, site) for genre, site in SITES.items() for n in range(count_subjects(genre))]


def story_page(genre: str, number: int, site: Site) -> Capture:
    """One story, rendered by its site."""
    story = make_story(genre, number)
    return Capture(
        url=site.url(f"{genre[3:]}/{number + 1}.html"),
        body=sites.render(site, story),
        fate="kept",
        why=f"{genre[3:]} in {site.language}, {site.charset} declared in {site.declared}",
        content_type=site.content_type,
    )


def unusual_pages() -> list[Capture]:
    """Pages that are kept although they are unusual."""
    return [
        *_old_style(), _russian_koi8(), _latin_without_declaration(), _broken_markup(), _xhtml(), _truncated_body(),
        _deeply_nested(), _about_lorem_ipsum(), *_personal_data(), _personal_data_lookalikes(), _curly_brackets_in_code(), _japanese(), _greek(),
        _text_in_json_ld(),
    ]  # fmt: skip


def _old_style() -> list[Capture]:
    site = _site(
        "www.geopages-1998.example", "My Page About Steam Engines", "table", charset="iso-8859-1", declared="nowhere"
    )
    subjects_ = (
        "I have been building model steam engines in the cellar since 1974, and people keep asking me how to begin. Begin "
        "with something that cannot explode. A single-acting oscillating engine needs one cylinder, one piston and a "
        "standard with two small holes, and it will teach you everything about fits and clearances.",
        "The boiler is another matter. Solder it with silver, test it with cold water at twice the working pressure, and "
        "write the date of the test on a brass plate. My first one leaked at every seam; the second has been in steam on "
        "every open day for nineteen years, and children are allowed to blow its whistle.",
        "Castings come from a foundry that still answers letters. Expect to wait about three months. While you wait, make "
        "the tools that you will need afterwards: a sharp scriber, a decent square, a lamp that does not glare. Most of "
        "what looks like talent in this hobby is only good light and a sharp edge.",
        "If you are ever near the museum on the second Sunday of the month, ask for me at the gate. I am usually the one "
        "with oil on his cuffs, explaining to somebody's grandfather why his idea would not have worked in 1890 either.",
    )
    story = Story("Small steam, honestly explained", tuple(("p", text) for text in subjects_))
    return [
        Capture(
            site.url("~walter/steam.htm"),
            sites.render(site, story),
            "kept",
            "tables for layout, font tags, unclosed <p>",
            content_type="text/html",
        )
    ]


def _russian_koi8() -> Capture:
    site = _site("lib.stary-arhiv.example", "Старый архив", "divs", "ru", "koi8-r")
    story = Story("Как мы спасали библиотеку", tuple(("p", text) for text in (
        "Зимой в нашем посёлке прорвало трубу, и вода пошла прямо в подвал, где хранились старые журналы. Позвонила "
        "сторожиха, и через полчаса у входа стояло человек тридцать, кто с ведром, кто с тачкой, а один даже с лодкой.",
        "Книги передавали из рук в руки, как кирпичи на стройке. Самые мокрые раскладывали на столах в школьном спортзале, "
        "проветривали и прокладывали чистой бумагой. Учительница химии объяснила, почему нельзя сушить их у батареи: клей "
        "пересыхает, корешок трескается, и страницы потом рассыпаются.",
        "К утру спасли почти всё. Пропали только подшивки одной газеты, но и те потом прислали нам из соседнего города. С "
        "тех пор библиотека переехала на второй этаж, а в подвале теперь хранят лыжи, которым вода не страшна.",
    )))  # fmt: skip
    return Capture(
        site.url("rasskaz/7"),
        sites.render(site, story),
        "kept",
        "KOI8-R, declared in the header",
        content_type=site.content_type,
    )


def _latin_without_declaration() -> Capture:
    site = _site("kleine-notizen.example", "Kleine Notizen", "divs", "de", "iso-8859-1", "nowhere")
    story = Story("Über das Zählen der Störche", tuple(("p", text) for text in (
        "Jedes Frühjahr zählen wir die Störche zwischen Elbe und Müritz, und jedes Jahr streiten wir über dieselbe Frage: "
        "Gilt ein Paar schon als Brutpaar, wenn es nur auf dem Nest steht und klappert? Früher hätte niemand gezögert.",
        "Für die Zählung genügen ein Fernglas, eine Thermoskanne und die Bereitschaft, mit älteren Bäuerinnen über den "
        "Gartenzaun hinweg zu plaudern. Sie wissen nämlich, wann die Vögel gekommen sind, sogar auf den Tag genau.",
        "In diesem Jahr waren es einundvierzig Paare, drei mehr als im vorigen. Größer ist die Freude über die Jungen: "
        "Nach zwei trockenen Sommern reichte das Wasser in den Wiesen endlich wieder für Frösche, Käfer und Mäuse.",
    )))  # fmt: skip
    return Capture(
        site.url("2026/stoerche"),
        sites.render(site, story),
        "kept",
        "Latin-1 without any declaration",
        content_type="text/html",
    )


def _broken_markup() -> Capture:
    story = make_story("en_travel", 108)
    text = "<p>".join(f"<div><b>{escape(block)}</i></div></span>" for _, block in story.blocks)
    html = f"<html><body><div class=article><h1>{story.title}</h1><p>{text}<ul><li>unclosed <a href='x>link</body>"
    return Capture(
        "https://tagsoup.example/walk", html.encode(), "kept", "mis-nested, unclosed and stray tags, an unclosed quote"
    )


def _xhtml() -> Capture:
    story = make_story("en_garden", 112)
    body = "".join(f"<p>{escape(block)}</p>" for _, block in story.blocks)
    html = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" '
        '"http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">\n<html xmlns="http://www.w3.org/1999/xhtml"><head>'
        f"<title>{escape(story.title)}</title></head><body><div id='main'><h1>{escape(story.title)}</h1>{body}</div></body></html>"
    )
    return Capture(
        "https://strict-garden.example/page.xhtml", html.encode(), "kept", "XHTML", content_type="application/xhtml+xml"
    )


def _truncated_body() -> Capture:
    site = SITES["en_health"]
    body = sites.render(site, make_story("en_health", 110))
    return Capture(
        site.url("long/110.html"), body[: body.index(b"</article>")], "kept", "the body ends in the middle of the page"
    )


def _deeply_nested() -> Capture:
    story = make_story("en_book", 111)
    body = "<div>" * 150 + "".join(f"<p>{escape(block)}</p>" for _, block in story.blocks) + "</div>" * 150
    return Capture(
        "https://nested.example/review",
        f"<html><title>{escape(story.title)}</title><body>{body}".encode(),
        "kept",
        "150 nested divs",
    )


def _about_lorem_ipsum() -> Capture:
    site = _site("typefaces.example", "Typefaces", "article")
    story = Story("Where the dummy text of printers comes from", tuple(("p", text) for text in (
        "Printers have filled their specimen sheets with scrambled Latin for about five hundred years. The passage goes "
        "back to a treatise by Cicero on the ends of good and evil, written in 45 BC, from which some words were cut so "
        "that nobody would be tempted to read it.",
        "A scholar in Virginia recognised it by chance, because one of the rarer words in it occurs in very few places. He "
        "looked through a concordance until he found the page, and then through old type catalogues to see how the text "
        "had travelled. Somebody, it seems, had torn a leaf from a school edition.",
        "Designers like it because its letters are spread about as evenly as those of ordinary prose, while the eye is not "
        "distracted by meaning. Critics answer that a layout which works only when it says nothing is not much of a layout.",
    )))  # fmt: skip
    return Capture(
        site.url("dummy-text"), sites.render(site, story), "kept", "about dummy text, without the two famous words"
    )


def _personal_data() -> list[Capture]:
    site = _site("choir-noticeboard.example", "Choir Noticeboard", "article")
    texts = {
        "mail": "Anyone who would like to sing with us in the spring may simply write to margaret.hollis@stannes-choir.org "
        "before the end of the month. Please say which part you sing and whether you can read music; neither is required.",
        "phone": "Our treasurer, who also keeps the key to the vestry, can be reached on +44 20 7946 0018 in the evening. If "
        "nobody answers, try the sexton under (212) 736-5000 while he visits his daughter in New York.",
        "network": "The recordings lie on a small server in the organ loft. From outside it answers under 81.2.69.142 and, on "
        "newer connections, under 2a02:c207:2024:1127::1; inside the building use 192.168.1.20 as before.",
        "bank": "Subscriptions can be paid into the account DE89 3704 0044 0532 0130 00 with your name as the reference. A "
        "card was once entered by mistake as 4111 1111 1111 1111 on the public form; it has since been blocked.",
        "secret": "While tidying up we found an old configuration with the key AKIAIOSFODNN7QXAMPLE in it, and a form on "
        "which somebody had written the social security number 536-22-8726. Both have been shredded.",
    }
    around = (
        "The choir meets on Tuesdays at half past seven in the parish room, next to the bakery. There is a short break with "
        "tea, and most people have gone home by ten. New members are usually surprised by how little is said and how much "
        "is sung. This winter we prepare a mass for four voices by a composer from the next village.",
        "Last year's concert filled the nave, although it rained so hard that the altos could hear nothing of the tenors, "
        "which some considered an advantage. The collection paid for the repair of the north window, and what was left over "
        "went into new lamps for the music stands, so that the basses need no longer sing from memory.",
        "Rehearsals begin with ten minutes of breathing and scales. After that we read through one new piece, slowly, and "
        "then return to what is due next. Parents may bring their children, who draw in the back row and, after a few "
        "months, know every part better than we do ourselves.",
        "In summer we walk to one of the hill chapels, sing an evening service for whoever happens to be there, and eat "
        "whatever has been carried up. The oldest of us is ninety-one and comes by tractor, with the harmonium beside him. "
        "Nobody remembers how the custom began, but nobody would dream of giving it up.",
        "The library of scores has been put in order at last. There are four hundred pieces, of which about sixty are still "
        "singable; mice had a preference for the Victorians. A list hangs beside the door, and copies can be borrowed over "
        "the holidays if they come back without pencil marks.",
    )
    pages = []
    for (kind, text), first in zip(texts.items(), around, strict=True):
        second = (
            around[(around.index(first) + 2) % len(around)]
            .rsplit(". ", 2)[0]
            .replace("The ", "Our ")
            .replace("we ", "all of us ")
            + "."
        )
        story = Story(f"Notice {kind}", (("p", first), ("p", text), ("p", second)))
        pages.append(
            Capture(
                site.url(f"notice/{kind}"), sites.render(site, story), "kept", f"personal data: {kind}, to be replaced"
            )
        )
    return pages


def _personal_data_lookalikes() -> Capture:
    site = _site("librarians-desk.example", "The Librarian's Desk", "article")
    story = Story("Numbers that identify things and not people", tuple(("p", text) for text in (
        "A book has an ISBN, such as 978-0-306-40615-7, whose last digit is computed from the others. A journal has an ISSN "
        "like 0317-8471, and an article a DOI, for example 10.1000/182, which leads to the publisher's page.",
        "Software releases are numbered too. Going from version 1.2.3.4 to 1.2.3.5 should break nothing, whereas 2.0.0 may. "
        "Manuals use the addresses 192.168.0.1, 10.0.0.7 and 127.0.0.1 because they never leave the building, and write "
        "to user@example.com because nobody lives there.",
        "A reference such as 1234 5678 9012 3456 on an invoice is not a payment card: the check digit does not fit. The "
        "date 2026-09-14, the year 1066 and the distance of 384,400 kilometres to the moon are nobody's telephone either.",
        "Librarians like such numbers because they outlive the people who assign them. A shelf mark from 1893 still leads "
        "to the same shelf, provided that nobody has been tempted to improve the system in the meantime.",
    )))  # fmt: skip
    return Capture(
        site.url("numbers"), sites.render(site, story), "kept", "look-alikes of personal data: nothing to replace"
    )


def _curly_brackets_in_code() -> Capture:
    site = SITES["en_code"]
    story = Story("A template engine in forty lines", (
        ("p", "Template engines look mysterious, but a useful one fits on a page. The idea is to find every placeholder, to look "
         "up its name, and to leave everything else exactly as it was. What remains is a decision about missing names."),
        ("code", 'def fill(template, values):\n    def replace(match):\n        name = match.group(1)\n        if name not in values:\n            raise KeyError(name)\n        return str(values[name])\n    return re.sub(r"\\{(\\w+)\\}", replace, template)'),
        ("p", "Calling the function with the template of a letter and a dictionary returns the finished letter. An unknown name "
         "raises an error that says which one it was, because silently printing nothing is how thousands of envelopes come "
         "to be addressed to nobody at all."),
        ("p", "Escaping is the part that people forget. If the result is a web page, every value has to be escaped before it is "
         "inserted, and the safest place for that is inside the replacement function, where nobody can skip it by accident."),
    ))  # fmt: skip
    return Capture(
        site.url("templates.html"), sites.render(site, story), "kept", "curly brackets, but inside <pre><code>"
    )


def _japanese() -> Capture:
    site = Site(
        "machi-aruki.example",
        "まち歩き帖",
        "article",
        "ja",
        "shift_jis",
        "meta",
        ("ホーム", "記事", "連絡先"),
        "無断転載を禁じます。",
    )
    story = Story("古い時計店の午後", tuple(("p", text) for text in (
        "駅前の商店街を抜けると、小さな時計店がある。看板の文字はほとんど読めないが、店の中ではいくつもの振り子が、少しずつ違う速さで動いている。店主の話では、六十年前に父親から受け継いだときから、机の位置も道具の並べ方も変えていないという。",
        "修理を頼まれるのは、たいてい思い出のある時計だ。祖父の腕時計、引っ越しのときに壊れた目覚まし、結婚式でもらった置き時計。部品がもう作られていないことも多く、そのときは歯車を一枚ずつ自分で削る。急ぐ人には向かない仕事です、と店主は笑った。",
        "夕方になると、近所の子どもたちが窓の外に集まってくる。五時になると、店の時計が一斉に鳴るからだ。全部が同時に鳴ることはないけれど、それでいいのだと思う。少し遅れて鳴る時計があるから、私たちはもう一度、音に耳をすますのである。",
    )))  # fmt: skip
    return Capture(
        site.url("tokei"),
        sites.render(site, story),
        "kept",
        "Japanese, Shift JIS in a meta element",
        content_type=site.content_type,
    )


def _greek() -> Capture:
    site = Site(
        "ta-nea-tou-nisiou.example",
        "Τα νέα του νησιού",
        "divs",
        "el",
        "windows-1253",
        "header",
        ("Αρχική", "Νέα", "Επικοινωνία"),
        "Όλα τα δικαιώματα διατηρούνται.",
    )
    story = Story("Το τελευταίο καΐκι", tuple(("p", text) for text in (
        "Στο μικρό λιμάνι του χωριού έχει μείνει μόνο ένα ξύλινο καΐκι, και ο καπετάνιος του είναι ογδόντα δύο χρονών. Κάθε πρωί, όταν ο καιρός το επιτρέπει, βγαίνει για ψάρεμα μαζί με τον εγγονό του, που σπουδάζει στην Αθήνα και γυρίζει τα καλοκαίρια.",
        "Παλιά, λέει, υπήρχαν σαράντα τέτοιες βάρκες και τρία ναυπηγεία στην παραλία. Τα ξύλα έρχονταν από το απέναντι βουνό και κάθε τεχνίτης είχε τα δικά του μυστικά. Σήμερα τα παιδιά μαθαίνουν να επισκευάζουν μηχανές, αλλά κανείς δεν ξέρει πια να λυγίζει μια σανίδα με φωτιά και νερό.",
        "Ο δήμος θέλει να φτιάξει ένα μικρό μουσείο στην παλιά αποθήκη. Αν βρεθούν τα χρήματα, το καΐκι θα μείνει στη θάλασσα και οι επισκέπτες θα μπορούν να κάνουν μια βόλτα γύρω από τον κόλπο. Ο καπετάνιος συμφώνησε, με έναν όρο: να κρατάει εκείνος το τιμόνι.",
    )))  # fmt: skip
    return Capture(
        site.url("nea/112"), sites.render(site, story), "kept", "Greek, windows-1253", content_type=site.content_type
    )


def _text_in_json_ld() -> Capture:
    story = make_story("en_town", 113)
    body = json.dumps(
        {"@context": "https://schema.org", "@type": "NewsArticle", "headline": story.title, "articleBody": story.text}
    )
    html = f'<html><head><title>{escape(story.title)}</title><script type="application/ld+json">{body}</script></head><body><div id="app"></div></body></html>'
    return Capture("https://single-page-app.example/story", html.encode(), "kept", "the text is in JSON-LD only")
