"""The tables of the page, from the rows of the study."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.files import write_atomic

from .study import Row
from .summary import GOAL, arms, cheapest, difference, in_order, mean, problem, problems

CURVES = ("spheres", "discs", "digits")


def pages(folder: Path) -> list[Path]:
    """The page beside the folder, and the page of its other tables."""
    return [folder.with_name(f"{folder.name}{ending}.md") for ending in ("", "-tables")]


def renew(rows: Sequence[Row], folder: Path) -> None:
    """Write every table into its place in the folder's pages; without any, make one of tables."""
    found = [page for page in pages(folder) if page.exists()]
    for page in found or pages(folder)[:1]:
        text = page.read_text() if found else "".join(_empty(name) for name in TABLES)
        write_atomic(page, renewed(rows, text).encode())


def renewed(rows: Sequence[Row], text: str) -> str:
    """The page's text with its tables replaced."""
    for name, table in TABLES.items():
        found = re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        body = table(rows)
        text = found.sub(lambda match: f"{match[1]}\n{body}\n{match[2]}", text)  # noqa: B023
    return text


def silence(rows: Sequence[Row]) -> str:
    """Plain training where no ball reaches the boundary, by manifold and sample size."""
    wide = [r for r in rows if r["gap"] != "0.05" and r["problem"] == "spheres"]
    found = {(r["manifold"], r["n"]): r for r in wide if r["arm"] == "plain" and r["d"] == "20"}
    sizes = sorted({n for _, n in found if ("5", n) in found}, key=int)
    body = [
        [f"{manifold} of 20", *[str(mean(found[manifold, n]["robust"])) for n in sizes]]
        for manifold in dict.fromkeys(m for m, _ in found)
    ]
    return _table(["data on", *[f"n = {n}" for n in sizes]], body)


def copying(rows: Sequence[Row]) -> str:
    """The same teacher where every copied label is right."""
    wide = [r for r in rows if r["gap"] != "0.05" and r["problem"] == "spheres" and r["n"] == "128"]
    body = [
        [arm, *[str(mean(r["robust"])) for r in sorted(found, key=lambda r: int(r["d"]))]]
        for arm, found in arms(wide).items()
    ]
    sizes = sorted({int(r["d"]) for r in wide})
    return _table(["trained by", *[f"d = {d}" for d in sizes]], body)


def curves(name: str) -> Callable[[Sequence[Row]], str]:
    """Robust accuracy by the number of queries: of digits all problems, of others the first."""

    def table(rows: Sequence[Row]) -> str:
        found = problems(rows, name)
        return "\n".join(_curve(rows, one) for one in found[: None if name == "digits" else 1])

    return table


def _curve(rows: Sequence[Row], one: tuple[str, ...]) -> str:
    of_it = [row for row in rows if problem(row) == one and "," not in row["arm"]]
    counts = sorted({row["queries"] for row in of_it}, key=int)
    body = []
    for arm, found in arms(of_it).items():
        cells = {row["queries"]: _cell(row) for row in found}
        body.append([arm, _each(found[-1]), *[cells.get(count, "") for count in counts]])
    return f"{caption(one)}:\n\n" + _table(["trained by", "bits a query", *counts], body)


def _cell(row: Row) -> str:
    return " / ".join(str(mean(row[name])) for name in ("robust", "labelled") if row[name])


def _each(row: Row) -> str:
    return f"{float(row['bits']) / int(row['queries']):,.0f}" if int(row["queries"]) else ""


def caption(one: tuple[str, ...]) -> str:
    """A problem in words."""
    name, d, manifold, n, _ = one
    return f"{name}, n = {n}" if name == "digits" else f"{name}, {manifold} of {d}, n = {n}"


def prices(rows: Sequence[Row]) -> str:
    """The fewest queries and bits at which students reach the goal, for each exact problem.

    Of what else was tried, only what asks nothing: the others had one number of queries.
    """
    columns = [*in_order(problems(rows, "spheres")), *in_order(problems(rows, "discs"))]
    shown = [row for row in rows if "," not in row["arm"] or row["queries"] == "0"]
    found = {one: arms(row for row in shown if problem(row) == one) for one in columns}
    names = dict.fromkeys(arm for of_one in found.values() for arm in of_one)
    body = [[arm, *[_price(found[one].get(arm)) for one in columns]] for arm in names]
    heads = [caption(one) for one in columns]
    return _table([f"{GOAL:.0f} % by", *heads], body)


def _price(rows: Sequence[Row] | None) -> str:
    if rows is None:
        return ""
    best = cheapest(rows)
    return "–" if best is None else f"{int(best['queries']):,} / {int(best['bits']):,}"


def pairs(rows: Sequence[Row]) -> str:
    """Differences seed by seed that the text speaks of."""
    body = []
    for name in ("spheres", "discs"):
        for one in in_order(problems(rows, name)):
            found = {(r["arm"], r["queries"]): r for r in rows if problem(r) == one}
            most = max((q for arm, q in found if arm == "adversarial soft"), key=int)
            base = found["adversarial labels", most]
            others = [("at", "0"), ("ball labels", most), ("uncertain labels", most)]
            others += [("adversarial soft", most), ("adversarial gradients", most)]
            cells = [str(difference(base, found[key])) for key in others]
            body.append([caption(one), most, *cells])
    heads = ["at", "ball labels", "uncertain labels", "adversarial soft", "adversarial gradients"]
    return _table(["adversarial labels less", "queries", *heads], body)


def tried(rows: Sequence[Row]) -> str:
    """What was changed of the first problem, beside what it is a change of."""
    of_it = [row for row in rows if problem(row) == problems(rows, "spheres")[0]]
    changed = [row for row in of_it if "," in row["arm"]]
    names = {row["arm"].split(",")[0] for row in changed}
    kept = [
        r for r in of_it if r["arm"] in names and r["queries"] in {c["queries"] for c in changed}
    ]
    body = [[row["arm"], row["queries"], _cell(row)] for row in [*kept, *changed]]
    return _table(["trained by", "queries", "robust"], body)


def against_at(rows: Sequence[Row]) -> str:
    """What answers add to AT on digits with the most queries, by the teacher and by the labels."""
    body = []
    for one in problems(rows, "digits"):
        found = arms(row for row in rows if problem(row) == one)
        for arm in (arm for arm in found if arm.startswith("at + ")):
            both = [difference(found[arm][-1], found["at"][0], c) for c in ("robust", "labelled")]
            body.append([one[3], arm, found[arm][-1]["queries"], *[str(cell) for cell in both]])
    return _table(["n", "less AT", "queries", "by the teacher", "by the labels"], body)


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *body]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _empty(name: str) -> str:
    return f"<!-- begin {name} -->\n<!-- end {name} -->\n\n"


TABLES: dict[str, Callable[[Sequence[Row]], str]] = {
    "silence": silence,
    "copying": copying,
    **{name: curves(name) for name in CURVES},
    "prices": prices,
    "pairs": pairs,
    "tried": tried,
    "against-at": against_at,
}
