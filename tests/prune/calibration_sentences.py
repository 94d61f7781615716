"""Sentences for calibration from a small grammar, and held-out ones on other subjects, of other forms.

Both are drawn by a fixed rule (`random.Random` with the list's name as its seed), so that every run sees
the same sentences. No word of a held-out subject occurs in the calibration grammar.
"""

import random

CALIBRATION = {
    "sentence": (
        "{clause}.",
        "{opening}, {clause}.",
        "{clause}, because {clause}.",
        "{clause}, and {clause}.",
        "{question}?",
        "{person} said that {clause}.",
        "{clause} {closing}.",
        "If {clause}, {clause}.",
    ),
    "opening": (
        "Last winter", "On a quiet morning", "According to the report", "Despite the rain", "In the end",
        "Ten years ago", "For the first time", "Without any warning", "After a long debate", "As a rule",
    ),
    "closing": (
        "before the end of the week", "with surprising ease", "for less than a dollar", "in front of everyone",
        "at the northern border", "more often than expected", "under a grey sky", "without much success",
    ),
    "question": (
        "why did {person} {act} {thing}", "how many {things} does {person} own", "where can we find {thing}",
        "is it true that {clause}", "who would {act} {thing}", "what happens when {clause}",
    ),
    "clause": (
        "{person} {did} {thing}", "{thing} {was} {quality}", "{person} and {person} {did} {thing}",
        "{person} could not {act} {thing}", "{things} are {quality}", "{thing} {was} found near {place}",
        "{person} travelled from {place} to {place}", "the price of {things} {moved} by {number} percent",
        "{number} {things} arrived at {place}", "{person} {did} {thing} in {place}",
    ),
    "person": (
        "the old fisherman", "my sister", "a young lawyer", "the prime minister", "our teacher", "the night nurse",
        "an honest farmer", "the violinist", "her uncle", "a tired soldier", "the chemist", "nobody", "the tenant",
        "a bus driver", "the museum director", "his neighbour", "the goalkeeper", "a retired engineer",
    ),
    "did": (
        "repaired", "sold", "described", "forgot", "painted", "carried", "studied", "broke", "measured", "borrowed",
        "defended", "photographed", "hid", "translated", "invented",
    ),
    "act": ("repair", "sell", "explain", "remember", "paint", "carry", "study", "break", "measure", "borrow", "defend"),
    "thing": (
        "a wooden boat", "the second letter", "an expensive clock", "the broken window", "a theory of light",
        "the tax law", "a bridge over the river", "the old piano", "a contract", "the map of the island",
        "a bottle of medicine", "the election result", "an ancient coin", "the engine", "a loaf of bread",
        "the weather forecast", "a telescope", "the recipe for soup",
    ),
    "things": (
        "apples", "newspapers", "electric cars", "horses", "contracts", "violins", "batteries", "houses", "coins",
        "letters", "sheep", "medicines", "bicycles", "vaccines", "rivers", "stars",
    ),
    "was": ("was", "is", "had been", "will be", "became", "seemed"),
    "quality": (
        "very heavy", "cheaper than before", "almost invisible", "well known", "dangerous", "too old to use",
        "surprisingly light", "covered with snow", "worth a fortune", "completely wrong", "easy to understand",
    ),
    "place": (
        "the harbour", "Lisbon", "a village in the mountains", "the central station", "Nairobi", "the hospital",
        "an island near Japan", "the university", "the courthouse", "the desert", "Chicago", "the market square",
    ),
    "moved": ("rose", "fell", "changed"),
    "number": ("two", "seven", "twelve", "forty", "three hundred", "fifteen"),
}  # fmt: skip

HELD_OUT = {
    "sentence": (
        "{subject} {verb} {object}, {aside}.",
        "Nothing {verb} {object} like {subject}.",
        "To {wish} {object} takes patience.",
        "{aside}: {subject}!",
        "{subject}, unlike {subject}, {verb} {object}.",
    ),
    "subject": (
        "the goalless striker", "a jealous poet", "the orbiting probe", "our compiler", "a ripe mango",
        "the spotted owl", "the orchestra conductor", "a leaky faucet", "the stock trader", "a migrating goose",
        "the dentist", "a software update", "the jazz trumpet", "the chess champion", "a coral reef",
        "the wedding cake", "a volcano in Iceland", "the password manager",
    ),
    "verb": ("scares", "rewards", "ruins", "inspires", "follows", "delays", "resembles", "interrupts"),
    "object": (
        "a crowded stadium", "gravity", "the unit tests", "tropical fruit salad", "small mammals at dusk",
        "the slow movement", "kitchen renovations", "bond yields", "wetlands in autumn", "sugary snacks",
        "open source projects", "a smoky nightclub", "the queen sacrifice", "warm shallow seas", "the bridesmaids",
        "flight schedules", "forgotten logins", "a sonnet",
    ),
    "wish": ("master", "photograph", "debug", "protect", "compose", "survive"),
    "aside": (
        "as critics like to point out", "mostly after midnight", "twice per season", "so the podcast claims",
        "to everybody's delight", "give or take an inch", "once the battery dies", "rain or shine",
    ),
}  # fmt: skip


def sentences(grammar: dict[str, tuple[str, ...]], count: int, seed: str) -> list[str]:
    """Draw different sentences from a grammar."""
    draw = random.Random(seed)
    drawn: dict[str, None] = {}
    while len(drawn) < count:
        text = "{sentence}"
        while "{" in text:
            before, _, rest = text.partition("{")
            symbol, _, after = rest.partition("}")
            text = before + draw.choice(grammar[symbol]) + after
        drawn[text[:1].upper() + text[1:]] = None
    return list(drawn)


def calibration_sentences() -> list[str]:
    """512 sentences, about 8,000 word pieces."""
    return sentences(CALIBRATION, 512, "calibration")


def held_out_sentences() -> list[str]:
    """128 sentences of other forms on other subjects."""
    return sentences(HELD_OUT, 128, "held out")
