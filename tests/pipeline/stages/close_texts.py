"""Texts in languages between which lid.176 divides its probability."""

from __future__ import annotations

CLOSE = {
    "hr": """\
Jučer smo obišli staru vodenicu na rijeci. Mlinar nam je pokazao kako se žito melje između dva teška kamena i
kako se brašno skuplja u vreće. Djeca su trčala uz obalu, a mi smo sjedili u hladu i pili kavu. Tko želi, može
kupiti kruh koji se peče svakog tjedna u općinskoj pekari.""",
    "bs": """\
Jučer smo obišli staru vodenicu na rijeci. Mlinar nam je pokazao kako se žito melje između dva teška kamena i
kako se brašno skuplja u vreće. Djeca su trčala uz obalu, a mi smo sjedili u hladu i pili kahvu. Ko želi, može
kupiti hljeb koji se peče svake sedmice u općinskoj pekari.""",
    "sr": """\
Juče smo obišli staru vodenicu na reci. Mlinar nam je pokazao kako se žito melje između dva teška kamena i
kako se brašno skuplja u džakove. Deca su trčala pored obale, a mi smo sedeli u hladu i pili kafu. Ko želi,
može da kupi hleb koji se peče svake nedelje u opštinskoj pekari.""",
    "ms": """\
Semalam kami melawat kilang lama di tepi sungai. Pengisar menunjukkan bagaimana gandum dikisar antara dua batu
besar dan tepungnya dikumpul dalam guni. Kanak-kanak berlari di tebing, manakala kami duduk di bawah pokok
sambil minum kopi. Sesiapa yang mahu boleh membeli roti yang dibakar setiap minggu.""",
    "id": """\
Kemarin kami mengunjungi kincir tua di tepi sungai. Penggiling menunjukkan bagaimana gandum digiling di antara
dua batu besar dan tepungnya dikumpulkan dalam karung. Anak-anak berlari di tepian, sedangkan kami duduk di
bawah pohon sambil minum kopi. Siapa yang mau dapat membeli roti yang dipanggang setiap minggu.""",
    "no": """\
I går besøkte vi den gamle møllen ved elven. Mølleren viste oss hvordan kornet males mellom to tunge steiner
og hvordan melet samles i sekker. Barna løp langs bredden mens vi satt i skyggen og drakk kaffe. Den som vil,
kan kjøpe brød som bakes hver uke.""",
    "nn": """\
I går vitja vi den gamle mølla ved elva. Mølnaren synte oss korleis kornet vert male mellom to tunge steinar
og korleis mjølet vert samla i sekker. Borna sprang langs breidda medan vi sat i skuggen og drakk kaffi. Den
som vil, kan kjøpe brød som vert baka kvar veke.""",
    "da": """\
I går besøgte vi den gamle mølle ved åen. Mølleren viste os, hvordan kornet males mellem to tunge sten, og
hvordan melet samles i sække. Børnene løb langs bredden, mens vi sad i skyggen og drak kaffe. Den, der vil,
kan købe brød, som bages hver uge.""",
    "sk": """\
Včera sme navštívili starý mlyn pri rieke. Mlynár nám ukázal, ako sa obilie melie medzi dvoma ťažkými kameňmi
a ako sa múka zbiera do vriec. Deti behali po brehu, kým my sme sedeli v tieni a pili kávu. Kto chce, môže si
kúpiť chlieb, ktorý sa pečie každý týždeň.""",
    "gl": """\
Onte visitamos o muíño vello á beira do río. O muiñeiro amosounos como se moe o gran entre dúas pedras pesadas
e como se recolle a fariña en sacos. Os nenos corrían pola ribeira mentres nós sentabamos á sombra e tomabamos
café. Quen queira pode mercar o pan que se coce cada semana.""",
    "be": """\
Учора мы наведалі стары млын каля ракі. Млынар паказаў нам, як зерне меліцца паміж двума цяжкімі камянямі і як
мука збіраецца ў мяшкі. Дзеці бегалі па беразе, а мы сядзелі ў цені і пілі каву. Хто хоча, можа купіць хлеб,
які пякуць кожны тыдзень.""",
    "af": """\
Gister het ons die ou meul langs die rivier besoek. Die meulenaar het vir ons gewys hoe die graan tussen twee
swaar klippe gemaal word en hoe die meel in sakke versamel word. Die kinders het langs die oewer gehardloop
terwyl ons in die skaduwee gesit en koffie gedrink het.""",
}
