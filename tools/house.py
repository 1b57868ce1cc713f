"""How the house is built: modules a room, arrows between rooms, arrows back, functions and their lengths.

    python tools/house.py [SOURCE]                          # src/triptych
    python tools/house.py --picture docs/images/house.svg   # its rooms and the arrows between them

A room is a folder or a single file of the package, or of one of its folders that has folders itself. An arrow
says that one room imports another; an arrow back is one of a pair, or of a ring, whose rooms import each other.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

ALONE = ("experiment", "backbone")
"""Single files that are rooms of their own in the picture; all others are leaves."""

BOX, GAP = (118, 48), (20, 44)
"""Width and height of a room in the picture, and of the space between two."""

TITLE = "The folders of the package, each above what it imports"

LARGEST = 10
"""Functions and files listed by their length."""


@dataclass(frozen=True)
class Module:
    """One file of the package."""

    name: str
    """Dotted, without the package's own name."""
    tree: ast.Module
    lines: int

    def imports(self, names: set[str], package: str) -> Iterator[str]:
        """The modules of the package that it imports, anywhere in it."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found = [name.name for name in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found = [f"{node.module}.{name.name}" for name in node.names]
            else:
                continue
            for name in found:
                parts = name.split(".")
                if parts[0] != package:
                    continue
                # What is imported may be a module or something in one.
                for end in range(len(parts), 1, -1):
                    if (inner := ".".join(parts[1:end])) in names:
                        yield inner
                        break

    def functions(self) -> Iterator[tuple[str, int]]:
        """Name and lines of each function and method."""
        for node in ast.walk(self.tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def modules(source: Path) -> dict[str, Module]:
    """Every module of a package by its name."""
    found = {}
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text(encoding="utf-8")
        found[name] = Module(name, ast.parse(text), len(text.splitlines()))
    return found


def arrows(found: dict[str, Module], package: str, inside: str = "") -> dict[str, set[str]]:
    """Which room of a folder imports which others of it; the rooms of the package itself without ``inside``."""
    depth = inside.count(".") + 1 if inside else 0
    below = sorted(n for n in found if n and (not inside or n.startswith(f"{inside}.")))

    def room(name: str) -> str:
        return name.split(".")[depth]

    result: dict[str, set[str]] = {room(name): set() for name in below}
    for name in below:
        for other in found[name].imports(set(found), package):
            if other in below and room(other) != room(name):
                result[room(name)].add(room(other))
    return result


def back(graph: dict[str, set[str]]) -> list[tuple[str, str]]:
    """The arrows that lie on a ring: from their end their beginning can be reached."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        queue = [start]
        while queue:
            for other in graph[queue.pop()] - seen:
                seen.add(other)
                queue.append(other)
        return seen

    reach = {room: reached(room) for room in graph}
    return sorted((a, b) for a in graph for b in graph[a] if a in reach[b])


def levels(graph: dict[str, set[str]]) -> dict[str, int]:
    """How many rooms lie below each, along its longest way down."""
    found: dict[str, int] = {}

    def level(room: str) -> int:
        if room not in found:
            found[room] = 1 + max((level(other) for other in graph[room]), default=-1)
        return found[room]

    for room in graph:
        level(room)
    return found


def needed(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """The arrows that no longer way stands for (the transitive reduction)."""

    def below(room: str) -> set[str]:
        return graph[room].union(*(below(other) for other in graph[room]))

    return {r: {o for o in to if not any(o in below(p) for p in to)} for r, to in graph.items()}


def picture(source: Path) -> str:
    """The rooms of the package as SVG, each above what it imports; single files that are leaves are one box."""
    found = modules(source)
    folders = {n.split(".")[0] for n in found if "." in n}
    whole = arrows({name: m for name, m in found.items() if name != "__main__"}, source.name)
    leaves = sorted(room for room in whole if room not in folders and room not in ALONE)
    graph = {r: to - set(leaves) for r, to in whole.items() if r not in leaves}
    files = Counter(n.split(".")[0] for n in found if n)
    rows, ways = layers(needed(graph))
    wide = max(sum(_width(room) + GAP[0] for room in row) for row in rows) + GAP[0]
    place: dict[str, tuple[float, float]] = {}
    for number, row in enumerate(rows):
        x = (wide - sum(_width(room) + GAP[0] for room in row) + GAP[0]) / 2
        for room in row:
            place[room] = (x + _width(room) / 2, GAP[1] / 2 + number * (BOX[1] + GAP[1]))
            x += _width(room) + GAP[0]
    below = GAP[1] / 2 + len(rows) * (BOX[1] + GAP[1])
    parts = [_way([place[room] for room in way]) for way in ways]
    parts += [
        _box(*place[room], BOX[0], room, "1 file" if files[room] == 1 else f"{files[room]} files")
        for room in graph
    ]
    names = f"{', '.join(leaves[: len(leaves) // 2])},", ", ".join(leaves[len(leaves) // 2 :])
    parts += [_box(wide / 2, below, wide - 2 * GAP[0], *names, fill="#eceff1")]
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:g} {below + BOX[1] + GAP[1] / 2:g}" '
        f'font-family="sans-serif" role="img"><title>{TITLE}</title>\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n{body}\n</svg>\n'
    )


def layers(graph: dict[str, set[str]]) -> tuple[list[list[str]], list[list[str]]]:
    """Rows of rooms from the highest down, and the ways of the arrows through them.

    An arrow that skips a row has a place of its own in it, so that it passes no room; places stand below what leads to
    them, in the mean.
    """
    height = levels(graph)
    rows: list[list[str]] = [[] for _ in range(max(height.values()) + 1)]
    for room in sorted(graph):
        rows[height[room]].append(room)
    ways = []
    for room, others in sorted(graph.items()):
        for other in sorted(others):
            between = [f"{room} {other} {h}" for h in range(height[room] - 1, height[other], -1)]
            for step, h in zip(between, range(height[room] - 1, height[other], -1), strict=True):
                rows[h].append(step)
            ways.append([room, *between, other])
    rows.reverse()
    above: dict[str, list[str]] = {}
    for way in ways:
        for upper, lower in pairwise(way):
            above.setdefault(lower, []).append(upper)
    for upper, row in pairwise(rows):
        at = {room: (i + 0.5) / len(upper) for i, room in enumerate(upper)}
        row.sort(key=lambda room: statistics.mean([at[u] for u in above.get(room, ())] or [0.5]))
    return rows, ways


def _width(room: str) -> int:
    return 8 if " " in room else BOX[0]


def _way(points: list[tuple[float, float]]) -> str:
    """A line from the foot of one room to the head of another, with a point of arrow."""
    x, y = points[0][0], points[0][1] + BOX[1]
    path = f"M{x:g} {y:g}"
    for to, down in points[1:]:
        bend = (y + down) / 2
        path += f"C{x:g} {bend:g} {to:g} {bend:g} {to:g} {down:g}"
        x, y = to, down
        if (to, down) != points[-1]:
            y = down + BOX[1]
            path += f"L{x:g} {y:g}"
    head = f"M{x - 4:g} {y - 8:g}L{x:g} {y:g}L{x + 4:g} {y - 8:g}Z"
    return f'<path d="{path}" fill="none" stroke="#90a4ae"/><path d="{head}" fill="#90a4ae"/>'


def _box(x: float, y: float, wide: float, name: str, said: str, fill: str = "#fff3e0") -> str:
    """A room whose upper edge has its middle at x, y."""
    size = 14 if fill == "#fff3e0" else 12
    return (
        f'<rect x="{x - wide / 2:g}" y="{y:g}" width="{wide:g}" height="{BOX[1]}" rx="6" fill="{fill}" stroke="#455a64"/>'
        f'<text x="{x:g}" y="{y + 20:g}" text-anchor="middle" fill="#263238" font-size="{size}">{name}</text>'
        f'<text x="{x:g}" y="{y + 37:g}" text-anchor="middle" fill="#546e7a" font-size="12">{said}</text>'
    )


def report(source: Path) -> None:
    """Print it all."""
    found, package = modules(source), source.name
    with_files = {name.rsplit(".", 1)[0] for name in found if "." in name}
    print(f"{len(found)} files, {sum(m.lines for m in found.values()):,} lines")
    print("\nfolder                          rooms  arrows  back")
    for folder in ["", *sorted(with_files)]:
        graph = arrows(found, package, folder)
        rings = back(graph)
        count = sum(map(len, graph.values()))
        print(f"{folder or package:<30} {len(graph):>6} {count:>7} {len(rings):>5}", end="")
        print("  " + ", ".join(f"{a} → {b}" for a, b in rings) if rings else "")
    functions = [(n, f, m.name) for m in found.values() for f, n in m.functions()]
    lengths = [n for n, _, _ in functions]
    filled = sum(any(True for _ in m.functions()) for m in found.values())
    print(f"\n{len(functions)} functions, {len(functions) / filled:.1f} a file that has any")
    print(
        f"lines a function: median {statistics.median(lengths):.0f}, mean {statistics.mean(lengths):.1f}"
    )
    print(f"of more than 40 lines: {sum(n > 40 for n in lengths)}")
    for n, name, home in sorted(functions, reverse=True)[:LARGEST]:
        print(f"  {n:>4}  {home}.{name}")
    print("largest files")
    for module in sorted(found.values(), key=lambda m: -m.lines)[:LARGEST]:
        print(f"  {module.lines:>4}  {module.name}")


def main() -> None:
    """The numbers on the terminal, or the picture into a file."""
    if "--picture" in sys.argv:
        Path(sys.argv[-1]).write_text(picture(Path("src/triptych")), encoding="utf-8")
    else:
        report(Path(sys.argv[1] if len(sys.argv) > 1 else "src/triptych"))


if __name__ == "__main__":
    main()
