"""How the house is built: modules a room, arrows between rooms, arrows back, functions and their lengths.

    python tools/house.py [SOURCE]      # src/triptych

A room is a folder or a single file of the package, or of one of its folders that has folders itself. An arrow
says that one room imports another; an arrow back is one of a pair, or of a ring, whose rooms import each other.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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
    below = {n for n in found if n and (not inside or n.startswith(f"{inside}."))}

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


if __name__ == "__main__":
    report(Path(sys.argv[1] if len(sys.argv) > 1 else "src/triptych"))
