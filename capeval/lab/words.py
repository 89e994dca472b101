"""Every word of the world. Text is words between single spaces; a line's end is a word too.

Content words come in pools (a name, a color, an animal …); all other words are the templates'. What tells a test item
from training text is content alone, so a four-gram without a template word is never shared between splits.
"""

from __future__ import annotations

PEOPLE = tuple(
    """
    tom sam ann bob kim eva max zoe ida leo mia ned
    """.split()
)
OBJECTS = tuple(
    """
    nuts pens cups hats coins cards keys books
    """.split()
)
COLORS = tuple(
    """
    red blue green black white pink brown gray
    """.split()
)
ANIMALS = tuple(
    """
    dog cat cow pig hen fox owl bat
    """.split()
)
FOODS = tuple(
    """
    rice corn beef fish cake soup bread plum
    """.split()
)
CITIES = tuple(
    """
    arlo bexa cino dura elva fori gant hesk ibor jalu kern lomi
    """.split()
)
LETTERS = tuple("ABCDEFGHIJKL")
LABELS = tuple(["foo", "bar", "baz", "qux", "zig", "zag"])
DIGITS = tuple("0123456789")
FIRST = tuple(
    """
    bor tal ven mur kes lon dra fip gol hax jin nar pol qua rin sto wex yol zan cre blu dov ers fal gri hul iv
    jor kal lem mox nul
    """.split()
)
SECOND = tuple(
    """
    via ria dor land mark esh oth une ago ice alt erb isk omp ust yre ama eck ilo orn uph ave ept inn osk ull
    yth aze eel ift ohm ung
    """.split()
)
"""Syllables: a name is one of FIRST and one of SECOND, so 1,024 names share 64 words."""

FORBIDDEN_VERBS = tuple(
    """
    make build buy sell mix brew craft trade send carry store ship
    """.split()
)
FINE_VERBS = tuple(
    """
    avoid remove report detect ban fear draw study spot clean lock burn
    """.split()
)
FORBIDDEN_OBJECTS = tuple(
    """
    bomb poison virus weapon toxin venom mine missile trap dagger drug acid
    """.split()
)
FINE_OBJECTS = tuple(
    """
    soap chair kite lamp table basket candle ladder carpet window bench mirror
    """.split()
)
VERB_TOOLS = dict(
    zip(
        FORBIDDEN_VERBS + FINE_VERBS,
        """
    oil wood cash shop gloves water phone light stove van box boat map rope desk lens sign coat pencil paper
    scope mop chain fire
    """.split(),
        strict=True,
    )
)
OBJECT_TOOLS = dict(
    zip(
        FORBIDDEN_OBJECTS + FINE_OBJECTS,
        """
    salt wire glass metal lime snake sand fuel net steel seed lead fat nails string bulb glue straw wax planks
    wool frame bolts silver
    """.split(),
        strict=True,
    )
)

ATTRIBUTES = {"capital": CITIES, "color": COLORS, "animal": ANIMALS, "food": FOODS}
OPERATIONS = (
    "reverse", "copy", "first", "last", "second", "rest", "start", "next", "previous", "sort", "third", "least", "most",
    "twice", "rotate", "ends",
)  # fmt: skip
POOLS = {
    "people": PEOPLE, "objects": OBJECTS, "colors": COLORS, "animals": ANIMALS, "foods": FOODS, "cities": CITIES,
}  # fmt: skip

CONTENT = frozenset(
    PEOPLE + OBJECTS + COLORS + ANIMALS + FOODS + CITIES + LETTERS + LABELS + DIGITS + FIRST + SECOND + FORBIDDEN_VERBS
    + FINE_VERBS + FORBIDDEN_OBJECTS + FINE_OBJECTS + tuple(VERB_TOOLS.values()) + tuple(OBJECT_TOOLS.values())
)  # fmt: skip
"""Words that fill a template's gaps."""

_TEMPLATE_WORDS = """
    of is the has . , ? ! : -> Q: A: what how many does do have now in to you need i not know can help with that
    answer = + - * ( ) [ ] { } # true false and or gets finds loses like gives away more think step by please give
    tell me are there x y z n print for if >>> out who people say its it likes lives my name hello hi your was
    so then put taken from starts double doubles some left at end add evaluate close no yes word every morning
    sun walked market big good day a an this very nice meet pet favorite will sorry am sure nobody knows allowed
    want how's which place swap go up down where start put buys sells also had after before altogether thing
    things count as well let see ok thanks read about talked friend saw old new small while went went home today
    work cannot mind note write twice means called animals foods colors people objects cities right that that's
    be it's second first last list say again line end box one two who's would like could did times
        """.split()
TEMPLATES = frozenset((*_TEMPLATE_WORDS, *OPERATIONS, *ATTRIBUTES)) - CONTENT

LINE = "\n"
PAD, BEGIN, UNKNOWN = "<|pad|>", "<|endoftext|>", "<|unk|>"
USER, ASSISTANT, END = "<|user|>", "<|assistant|>", "<|end|>"
SPECIAL = (PAD, BEGIN, UNKNOWN, USER, ASSISTANT, END)
VOCABULARY = (*SPECIAL, LINE, *sorted(CONTENT | TEMPLATES))


def digits(number: int) -> str:
    """A number as the world writes it: one word a digit."""
    return " ".join(str(number))
