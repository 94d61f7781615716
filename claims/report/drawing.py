"""Matplotlib's SVG in a tenth of the bytes: the same drawing, to a tenth of a point, set in the page's own font.

Groups without attributes dissolve; marks of one shape and style become one path with a marker at each of its corners;
strokes of one style that follow each other become one path; the letters of a formula, placed one by one, become a line,
and a power of ten plain text.
"""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from string import ascii_lowercase
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

_ORDER = {"defs": 0, "path": 1, "use": 2}  # within an axis: grid, ticks, labels; they do not overlap
_SVG = re.compile(r"<svg\b.*?</svg>", re.DOTALL)
_STYLE = re.compile(r' style="((?!min-width)[^"]*)"')  # but that of a whole picture, which has a class
_CIRCLE = re.compile(r"M0 ([\d.]+)c([^A-Za-z]*)Z")  # if it has eight arcs
_RAISED = str.maketrans("−0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_NUMBERS = re.compile(r"-?(?:\d+(?:\.\d+)?|\.\d+)(?:e-?\d+)?")


def short(svg: str) -> str:
    """Rewrite one SVG element without namespaces.

    Args:
        svg: As matplotlib writes it with `svg.fonttype` "none".

    Example:
        >>> short('<svg><g id="a"><g><path d="M 0.04 1.26 L 2 3 L 4 5 " style="fill: red"/></g></g></svg>')
        '<svg><defs /><path d="M0 1.3l2 1.7 2 2" style="fill:red" /></svg>'
    """
    root = ElementTree.fromstring(svg)
    _Drawing(root).rewrite()
    return ElementTree.tostring(root, encoding="unicode")


def share_styles(page: str) -> str:
    """Write styles that several elements of a page's pictures have once, as classes in its first style sheet.

    Args:
        page: HTML with `<svg>` elements from `short`.

    Example:
        >>> share_styles('<style></style><svg><g style="fill:red" /><g style="fill:red" /></svg>')
        '<style>.q0{fill:red}</style><svg><g class="q0" /><g class="q0" /></svg>'
    """
    counts = Counter(style for drawn in _SVG.findall(page) for style in _STYLE.findall(drawn))
    names = {style: f"q{index}" for index, (style, count) in enumerate(counts.most_common()) if count > 1}
    sheet = "".join(f".{name}{{{style}}}" for style, name in names.items())

    def named(drawn: re.Match[str]) -> str:
        return _STYLE.sub(lambda style: f' class="{names[style[1]]}"' if style[1] in names else style[0], drawn[0])

    return _SVG.sub(named, page).replace("</style>", f"{sheet}</style>", 1)


class _Drawing:
    def __init__(self, root: Element) -> None:
        self._root = root
        self._shapes = {each.get("id", ""): each for each in root.iter("path") if each.get("id")}
        self._markers: dict[tuple[str, str], str] = {}
        self._defs = Element("defs")

    def rewrite(self) -> None:
        self._dissolve(self._root)
        for group in [each for each in self._root.iter() if each.tag in ("g", "svg")]:
            group[:] = list(_clipped(_joined(self._marked(list(group)))))
        self._root.insert(0, self._defs)
        for path in self._root.iter("path"):
            path.set("d", _straight(path.get("d", "")))
            circle = _CIRCLE.fullmatch(path.get("d", ""))
            if circle and len(_NUMBERS.findall(circle[2])) == 48:
                path.tag, path.attrib = "circle", {"r": circle[1], **_others(path, "d")}
        for text in self._root.iter("text"):
            if not len(text) and (place := re.fullmatch(r"translate\((\S+) (\S+)\)", text.get("transform", ""))):
                text.attrib = {"x": _number(place[1], 0), "y": _number(place[2], 0), **_others(text, "transform")}

    def _dissolve(self, parent: Element) -> None:
        """Rewrite the children of an element; groups that say nothing give theirs to their parent."""
        children: list[Element] = []
        for child in list(parent):
            child.tail = None
            self._dissolve(child)
            name = child.attrib.pop("id", "") if child.tag == "g" else ""
            if name.startswith("matplotlib.axis"):
                child[:] = sorted(child, key=lambda each: _ORDER.get(each.tag, 3))
            _tidy(child)
            if child.tag == "g" and len(child) == 1 and _inherits(child[0], child):
                child[0].attrib.update({key: _together(child, child[0], key) for key in child.attrib})
                children.append(child[0])
            elif child.tag == "g" and not child.attrib:
                children += child
            elif child.tag != "defs" or self._other_definitions(child):
                children.append(child)
        if parent.tag not in ("text", "tspan"):
            parent.text = None
        parent[:] = [each for each in children if each.get("style") != "fill:none"]

    def _other_definitions(self, defs: Element) -> bool:
        """Whether anything but shapes of marks is defined; those move into markers."""
        defs[:] = [each for each in defs if each.get("id") not in self._shapes]
        return len(defs) > 0

    def _marked(self, children: list[Element]) -> list[Element]:
        """Marks of one shape and style that follow each other as one path."""
        made: list[Element] = []
        for (tag, about), group in groupby(children, key=lambda each: (each.tag, _others(each, "x", "y"))):
            shape = about.get("href", "")[1:]
            alike = list(group)
            made += [self._row_of_marks(shape, alike)] if tag == "use" and shape in self._shapes else alike
        return made

    def _row_of_marks(self, shape: str, marks: list[Element]) -> Element:
        drawn = self._shapes[shape]
        styles = {**_parsed(_css(marks[0])), **_parsed(_css(drawn))}
        path = Element("path", {"d": _path(drawn.get("d", ""), digits=2), "style": _text(styles)})
        others = _others(marks[0], "x", "y", "href", "style")
        places = [f"{_number(mark.get('x', '0'))} {_number(mark.get('y', '0'))}" for mark in marks]
        if len(places) == 1:
            path.set("transform", f"translate({places[0]})")
            if not others:
                return path
            group = Element("g", others)
            group.append(path)
            return group
        key = (path.get("d", ""), path.get("style", ""))
        if key not in self._markers:
            self._markers[key] = _letters(len(self._markers))
            about = {"id": self._markers[key], "overflow": "visible", "markerUnits": "userSpaceOnUse"}
            marker = Element("marker", about)
            marker.append(path)
            self._defs.append(marker)
        style = f"fill:none;marker:url(#{self._markers[key]})"
        d = _path("M" + " ".join(place for place, _ in groupby(places)), digits=1)
        return Element("path", {"d": d, "style": style, **others})


def _tidy(each: Element) -> None:
    if "d" in each.attrib:
        each.set("d", _path(each.get("d", ""), digits=1))
    digits = 0 if each.tag == "text" else 1  # nobody sees half a point between a word and its place
    for name in each.attrib.keys() & {"x", "y", "width", "height", "transform"}:
        each.set(name, re.sub(r"-?\d+\.\d+", lambda found: _number(found.group(), digits), each.get(name, "")))
    if each.get("transform", "").startswith("rotate(-0 "):
        del each.attrib["transform"]
    if each.get("style"):
        each.set("style", _text(_parsed(_css(each))))
    if each.tag == "text" and len(each):
        each.text, each[:] = None, _lines(list(each))
        if tick := _tick([line.text or "" for line in each]):
            style = _text(_parsed(_css(each)) | _parsed(_css(each[0])))
            each.text, each[:] = tick, []
            each.set("style", style)


def _inherits(child: Element, group: Element) -> bool:
    """Whether a child can carry the attributes of its group itself."""
    both = child.attrib.keys() & group.attrib.keys()
    return (
        both <= {"style"}
        and "opacity" not in _css(group)
        and ("clip-path" in group.attrib) <= ("transform" not in child.attrib)
    )


def _together(group: Element, child: Element, name: str) -> str:
    both = {**_parsed(_css(group)), **_parsed(_css(child))}
    return _text(both) if name == "style" else group.get(name, "")


def _joined(children: list[Element]) -> list[Element]:
    """Strokes of one style that follow each other, such as error bars, as one path."""
    made: list[Element] = []
    for child in children:
        before = made[-1] if made else None
        if (
            before is not None
            and _is_stroke(child)
            and _others(before, "d") == _others(child, "d")
            and before.tag == "path"
        ):
            before.set("d", before.get("d", "") + child.get("d", ""))
        else:
            made.append(child)
    return made


def _clipped(children: list[Element]) -> Iterator[Element]:
    """Elements that follow each other in one frame, as a group that says so once."""
    for frame, alike in groupby(children, key=lambda each: "" if "transform" in each.attrib else each.get("clip-path")):
        inside = list(alike)
        if not frame or len(inside) == 1:
            yield from inside
            continue
        group = Element("g", {"clip-path": frame})
        for each in inside:
            del each.attrib["clip-path"]
            group.append(each)
        yield group


def _is_stroke(each: Element) -> bool:
    style = _parsed(_css(each))
    return each.tag == "path" and style.get("fill") == "none" and "stroke" in style and "opacity" not in _css(each)


def _others(each: Element, *names: str) -> dict[str, str]:
    return {name: value for name, value in each.attrib.items() if name not in names}


def _lines(letters: list[Element]) -> list[Element]:
    """The letters of a formula by line and style."""
    lines: dict[tuple[str, str], Element] = {}
    for letter in letters:
        style = _parsed(_css(letter))
        style.pop("fill", None)
        key = (letter.get("y", "0"), _text(style))
        if not (letter.text or "").strip():
            continue
        line = lines.setdefault(key, Element("tspan", {"x": "", "y": key[0], "style": key[1]}))
        line.set("x", f"{line.get('x')} {letter.get('x', '0')}".strip())
        line.text = (line.text or "") + (letter.text or "")
    return list(lines.values())


def _tick(lines: list[str]) -> str:
    """A number or a power of ten as plain text; nothing for other formulas.

    Example:
        >>> _tick(["10", "−3"]), _tick(["0"]), _tick(["a", "2"])
        ('10⁻³', '0', '')
    """
    number, raised = lines[0], "".join(lines[1:])
    power = re.fullmatch("−?10", number) and re.fullmatch(r"−?\d+", raised)
    plain = re.fullmatch(r"−?[\d.]+", number) and not raised
    return number + raised.translate(_RAISED) if power or plain else ""


def _css(each: Element) -> str:
    return each.get("style", "")


def _parsed(style: str) -> dict[str, str]:
    parts = (part.partition(":") for part in style.split(";") if part.strip())
    named = {name.strip(): value.strip() for name, _, value in parts}
    named.pop("font-family", None)  # the page's font is used
    if "font" in named:  # the size, and what stands before it
        named["font"] = re.sub(r"(\d(?:\.\d+)?px).*", r"\1 var(--sans)", named["font"])
    return named


def _text(style: dict[str, str]) -> str:
    return ";".join(f"{name}:{value}" for name, value in style.items())


def _path(d: str, *, digits: int) -> str:
    """Path data in steps between rounded points, so that rounding does not add up; no needless space or command."""
    made, last, here, start = "", "", (0.0, 0.0), (0.0, 0.0)
    for command, points in _commands(d):
        rounded = [(round(x, digits), round(y, digits)) for x, y in points]
        step = command if command in "MZ" else command.lower()
        made += "" if step == last and step in "lcq" else step
        origin = (0.0, 0.0) if command == "M" else here
        for x, y in rounded:
            for part in (x - origin[0], y - origin[1]):
                number = f"{round(part, digits) + 0.0:g}".replace("0.", ".", 1 if abs(part) < 1 else 0)
                made += number if made[-1].isalpha() or number.startswith("-") else f" {number}"
        last, here = step, rounded[-1] if rounded else start
        start = here if command == "M" else start
    return made


def _straight(d: str) -> str:
    """Path data with one number for a step that goes straight to the side, up or down.

    Example:
        >>> _straight("M5 5l3 0 2 0 0-7 1 2c1 1 2 0 3 0")
        'M5 5h3 2v-7l1 2c1 1 2 0 3 0'
    """
    made = ""
    for letter, text in re.findall(r"([A-Za-z])([^A-Za-z]*)", d):
        numbers, last = _NUMBERS.findall(text), ""
        if letter != "l":
            made += letter + text
            continue
        for x, y in zip(numbers[::2], numbers[1::2], strict=True):
            step, parts = ("v", [y]) if x == "0" else ("h", [x]) if y == "0" else ("l", [x, y])
            made += "" if step == last else step
            for part in parts:
                made += part if made[-1].isalpha() or part.startswith("-") else f" {part}"
            last = step
    return made


_PAIRS = {"M": 1, "L": 1, "C": 3, "Q": 2, "Z": 0}


def _commands(d: str) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    """Each command of path data with its points, both absolute; repeated commands that d leaves out are written."""
    here, start = (0.0, 0.0), (0.0, 0.0)
    for letter, text in re.findall(r"([A-Za-z])([^A-Za-z]*)", d):
        command, numbers = letter.upper(), [float(each) for each in _NUMBERS.findall(text)]
        pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
        size = _PAIRS[command]
        for first in range(0, len(pairs), size) if size else (0,):
            origin = here if letter.islower() else (0.0, 0.0)
            points = [(x + origin[0], y + origin[1]) for x, y in pairs[first : first + size]]
            yield "L" if command == "M" and first else command, points
            here = points[-1] if points else start
            start = here if command == "M" and not first else start


def _number(text: str, digits: int = 1) -> str:
    """A number to some digits after the point; factors of scales, which are small, keep theirs."""
    value = float(text)
    return f"{round(value, digits if abs(value) >= 0.1 or digits > 1 else 5):g}" if abs(value) < 1e5 else text


def _letters(index: int) -> str:
    """A name for the marker of a number: a, b, …, z, ba, bb, …"""
    high, low = divmod(index, len(ascii_lowercase))
    return (_letters(high) if high else "") + ascii_lowercase[low]
