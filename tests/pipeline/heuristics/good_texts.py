"""Good texts of many kinds, which rules made for English articles must keep."""

from __future__ import annotations

SUBJECTS = "miller river wheel baker farmer horse winter village harvest teacher market bridge".split()  # noqa: SIM905
VERBS = "carried watched followed crossed remembered painted measured repaired described opened".split()  # noqa: SIM905
OBJECTS = "stone sack road door letter wall field boat map".split()  # noqa: SIM905
FRAMES = (
    "In {year} the {subject} {verb} that {item} with {n} others.",
    "Nobody saw how {n} people {verb} a {item} before the {subject} came along.",
    "After {n} years some {subject} {verb} another {item}, or so they say.",
    "My {subject} has {verb} every {item} since, though {n} of them were lost.",
    "Why was no {item} {verb} by a {subject}, if {n} asked for it?",
)


def prose(sentences: int, start: int = 0) -> str:
    """Different English sentences, three to a paragraph."""
    lines = [
        FRAMES[n % 5].format(
            year=1700 + n, subject=SUBJECTS[n % 12], verb=VERBS[(n * 3 + n // 10) % 10], item=OBJECTS[n % 9], n=n + 2
        )
        for n in range(start, start + sentences)
    ]
    return "\n\n".join(" ".join(lines[i : i + 3]) for i in range(0, len(lines), 3))


CODE = "```\n" + "\n".join(f"if (x[{n}]) {{ return {n}; }}" for n in range(40)) + "\n```"
TABLE = "\n".join(["| year | tons |", "|---|---|", *(f"| {1900 + n} | {n * 7} |" for n in range(60))])
RECIPE = """Bread of the village

Ingredients

- 500 g flour
- 2 eggs
- 1 pinch of salt
- 20 g butter
- 1 cup of milk

Heat the oven to 200 degrees and butter a tin for the bread. Mix the flour with the salt and the eggs, then add milk
until the dough no longer sticks to the bowl.

Leave it to rest for an hour in a warm place. Bake it until the crust is brown and it sounds hollow to a knock."""
POEM = """The wheel turns round
and the grain is ground,
the miller sleeps
and the river keeps

its slow old song
the whole night long,
with stone on stone
till dawn, alone.

And when the day
comes up the way
the flour lies white
as the end of night,

a gift of the mill
that is never still."""
FORUM = """anna wrote:

Does anybody know how to stop the wheel of an old mill from squeaking? I have tried oil and it did not help at all.

ben wrote:

You have to take it off and clean the bearing first. With the dirt in it, oil makes it worse.

anna wrote:

Thank you, that was it! The bearing was full of sand. Now it runs like new and we can sleep again."""
GERMAN = """Die Mühle am Fluss

Die alte Mühle steht seit dem Jahr 1723 am Ufer des kleinen Flusses, und noch heute dreht sich das große
Wasserrad, wenn die Schleuse geöffnet wird. Der Müller ist schon lange nicht mehr da, aber die Nachbarn haben
einen Verein gegründet, der sich um das Gebäude und die Maschinen kümmert.

An jedem Sonntag im Sommer kann man zusehen, wie aus dem Korn das Mehl wird. Die Besucher dürfen selbst einen
Sack füllen und mit nach Hause nehmen."""
GREEK = """\
Ο παλιός μύλος στέκεται δίπλα στο ποτάμι από το 1723 και ακόμα και σήμερα ο μεγάλος τροχός γυρίζει όταν ανοίγουν
το νερό. Ο μυλωνάς δεν ζει πια εδώ, αλλά οι γείτονες έχουν κάνει έναν σύλλογο που φροντίζει για το κτίριο και
τις μηχανές.

Κάθε Κυριακή το καλοκαίρι μπορεί κανείς να δει πώς το σιτάρι γίνεται αλεύρι. Οι επισκέπτες μπορούν να γεμίσουν
μόνοι τους ένα σακί και να το πάρουν μαζί τους στο σπίτι, για να φτιάξουν ψωμί."""
CHINESE = (
    "河边的老磨坊从一七二三年就立在那里，直到今天，只要打开水闸，大木轮还会转动起来。"
    "磨坊主人早已不在了，但是邻居们成立了一个协会，照看房子和机器。\n\n"
    "夏天的每个星期日，人们可以来看麦子怎样变成面粉。"
    "参观的人可以自己装满一个小袋子，带回家去做面包。"
    "孩子们最喜欢的是站在桥上看水从轮子上落下来。\n\n"
    "协会的会长说，修理屋顶还需要很多钱，所以他们希望更多的人来帮忙。"
    "去年冬天的大雪压坏了一面墙，现在已经修好了。"
)
JAPANESE = (
    "川のそばの古い水車小屋は一七二三年からそこに立っていて、今でも水門を開けると大きな車が回り始めます。"
    "粉屋はもういませんが、近所の人たちが会を作って、建物と機械の世話をしています。\n\n"
    "夏の日曜日には、麦が粉になる様子を見ることができます。"
    "訪れた人は自分で小さな袋をいっぱいにして、家に持って帰ることができます。"
    "子どもたちは橋の上から水が落ちるのを見るのが好きです。"
)
THAI = (
    "โรงสีเก่าริมแม่น้ำตั้งอยู่ที่นั่นมานานแล้ว และวันนี้ล้อไม้ใหญ่ก็ยังหมุนเมื่อเปิดประตูน้ำ "
    "เจ้าของโรงสีไม่อยู่แล้ว แต่เพื่อนบ้านช่วยกันดูแลอาคารและเครื่องจักร "
    "ทุกวันอาทิตย์ในฤดูร้อนผู้คนมาดูว่าข้าวกลายเป็นแป้งได้อย่างไร "
    "แขกเติมถุงเล็กด้วยตัวเองแล้วนำกลับบ้านไปทำขนมปัง เด็กๆชอบยืนบนสะพานดูน้ำตกลงมาจากล้อ"
)
HEALTH = (
    prose(9)
    + "\n\nThe clinic explains sexual health: sex, the penis, the vagina, the anus, orgasm, and what rape does to us."
)
