"""Function words: the most frequent grammatical words of seventeen languages (articles, pronouns, prepositions, ...).

They are independent of the topic, and frequent in running text but not in menus, lists and tables. Compiled from
general knowledge of the languages: for each, the 12 to 100 words that make up a quarter to a half of running text.
"""

from __future__ import annotations

_BY_LANGUAGE = {
    "en": """the of and to in a is that for it as was with be by on not he i this are or his from at which but have
        an had they you were their one all we can her has there been if more when will would who so no she its
        them than into only some could these two may then do any my now such our out your what how about up also
        most other over after just where because while before does did being very each those him me us am should
        between through during""",
    "de": """der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus
        er hat dass sie nach wird bei einer um am sind noch wie einem über einen so zum war haben nur oder aber
        vor zur bis mehr durch man sein wurde wenn ich wir ihr ihre kann diese dieser unter gegen vom können
        schon sehr was""",
    "fr": """de la le et les des en un du une que est pour qui dans a par plus pas au sur ne se ce il sont avec ou
        son aux d' l' qu' n' s' c' cette ces mais nous vous ils elle leur été être on comme sa ses tout même
        entre sans deux ont fait si peut je y aussi dont d l qu n s c""",
    "es": """de la que el en y a los se del las un por con no una su para es al lo como más o pero sus le ha me si
        sin sobre este ya entre cuando todo esta ser son dos también fue había era muy hasta desde está mi
        porque qué sólo han yo hay vez puede todos así nos ni parte tiene él uno donde""",
    "it": """di e il la che in a per un è del una con non si da i le al dei gli della sono nel come alla più ha anche
        lo ma se delle su o dal questo ed nella ai suo loro essere dalla tra cui degli quando stato dopo sua era
        questa chi fra perché così sulla ci mi hanno dell all nell l d""",
    "pt": """de a o que e do da em um para com não uma os no se na por mais as dos como mas ao ele das à seu sua ou
        quando muito nos já eu também só pelo pela até isso ela entre depois sem mesmo aos seus quem nas me esse
        eles você essa num nem suas meu às minha são foi ser tem está""",
    "nl": """de van het een en in is dat op te zijn met voor niet die aan er om ook als dan maar bij of uit nog
        worden door naar heeft tot ze wordt over hij kan meer ik je deze was wel geen zo hebben we wat al had
        werd onder zich""",
    "pl": """i w na z do się nie jest to że o jak za od po ale co dla przez tym są tak przy tylko był być może jego
        już ich czy lub oraz ten ta które który która go ze we a jednak także bardzo będzie jej tego""",
    "ru": """и в не на что с по а как это к но он из у за от о его для то все так же бы или был было быть мы они вы я
        она их до при только уже еще если может ее чтобы этого который которые также после где когда этом под""",
    "el": """και το της να του η με την για από στο που τα των στην ο δεν τον οι τη σε είναι θα τις στη ότι μας αλλά
        ένα μια τους στα ή όπως αυτό στις αν έχει κατά μετά έχουν πως""",
    "zh": """的 一 是 不 了 在 人 有 我 他 这 個 个 们 們 中 来 來 上 大 为 為 和 国 國 地 到
        以 说 說 时 時 要 就 出 会 會 也 你 对 對 生 能 而 子 那 得 于 於 着 與 与 及 其
        被 這""",
    "ja": """の に は を た が で て と し れ さ い る も な ら あ こ か り っ く ま よ う ん
        き す せ そ""",
    "ko": """이 의 에 는 을 를 은 가 다 하 고 도 로 으 한 지 서 기 에 와 과""",
    "sv": """och i att det som en på är av för med den till inte har de om ett han men var jag så från vi kan när vid
        hade ska eller""",
    "da": """og i at det er en på af for med den til ikke de har som et der var jeg han vi men fra kan om så ved
        eller blev sig""",
    "cs": """a se v na je že s z do o to i ve k pro za by ale si po jako jsou tak které který jeho od byl jsem nebo
        při až již být""",
    "tr": """ve bir bu da de için ile çok olarak daha gibi olan en kadar sonra ne var o ama mi her ya olduğu değil""",
}
FUNCTION_WORDS = frozenset(word for words in _BY_LANGUAGE.values() for word in words.split())
ENGLISH = frozenset(_BY_LANGUAGE["en"].split())
