"""The catalogue of deliberate bugs, and how they are put into a copy of the sources.

All bugs are in one build, each behind a switch that is read from the environment at run time.
"""

import fnmatch
import re
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SWITCH = HERE / "switch.rs"
FIELDS = {"name", "breaks", "file", "before", "after", "caught_by"}
OPTIONAL = {"after", "caught_by"}
A_TEST = re.compile(r"\bfn (\w+)")


class Stale(Exception):
    """What is wrong with the catalogue, a line each."""


@dataclass(frozen=True)
class Mutant:
    """One deliberate bug: in `path`, `after` instead of `before`."""

    name: str
    breaks: str
    path: str
    before: str
    after: str
    caught_by: tuple

    def is_meant(self, patterns):
        return not patterns or any(fnmatch.fnmatch(self.name, pattern) for pattern in patterns)


def read():
    """All deliberate bugs, in the order of their files.

    Raises `Stale` with everything that is wrong.
    """
    mutants, wrong = [], []
    for path in sorted(HERE.glob("*.toml")):
        found = tomllib.loads(path.read_text())
        for entry in found["mutant"]:
            name = f"{path.stem}/{entry.get('name', '?')}"
            missing, unknown = FIELDS - OPTIONAL - set(entry), set(entry) - FIELDS
            wrong += [f"{name}: `{field}` is missing" for field in sorted(missing)]
            wrong += [f"{name}: `{field}` is no field" for field in sorted(unknown)]
            if not missing:
                source = f"{found['crate']}/src/{entry['file']}"
                caught_by = tuple(entry.get("caught_by", []))
                after = entry.get("after", "").strip()
                mutants.append(Mutant(name, entry["breaks"], source, entry["before"].strip(), after, caught_by))
    names = [mutant.name for mutant in mutants]
    wrong += [f"{name}: there are two of this name" for name in sorted({name for name in names if names.count(name) > 1})]
    if wrong:
        raise Stale("\n".join(wrong))
    return mutants


def check(mutants):
    """Raises `Stale` where a text is not in its file once, or a test that is named is not there."""
    wrong = []
    for path in sorted({mutant.path for mutant in mutants}):
        if (ROOT / path).is_file():
            _, problems = mutated((ROOT / path).read_text(), [mutant for mutant in mutants if mutant.path == path])
            wrong += problems
        else:
            wrong.append(f"{path}: there is no such file")
    sources = [path for path in files() if path.endswith(".rs")]
    # A test, or a whole binary of them: `tests/NAME.rs` or `tests/NAME/main.rs`.
    tests = {name for path in sources for name in A_TEST.findall((ROOT / path).read_text())}
    tests |= {path.removesuffix(".rs").removesuffix("/main").split("/")[-1] for path in sources}
    for mutant in mutants:
        wrong += [f"{mutant.name}: there is no test {name}" for name in mutant.caught_by if name not in tests]
        wrong += [f"{mutant.name}: a bracket without its other one: {code}" for code in (mutant.before, mutant.after) if odd(code)]
    if wrong:
        raise Stale("\n".join(wrong))


def odd(code):
    """Whether a bracket is opened or closed without its other one, so that the switch would not compile."""
    return any(code.count(a) != code.count(b) for a, b in ("()", "[]", "{}"))


def mutated(text, mutants):
    """`text` with all of `mutants` in it, each behind its switch; and what is wrong with them."""
    spans, wrong = {}, []
    for mutant in mutants:
        found = text.count(mutant.before)
        if found == 1:
            start = text.index(mutant.before)
            spans.setdefault((start, start + len(mutant.before)), []).append(mutant)
        else:
            times = "is not there" if found == 0 else f"is there {found} times"
            wrong.append(f"{mutant.name}: its text {times} in {mutant.path}: {mutant.before}")
    parts, end = [], 0
    for (start, stop), here in sorted([*spans.items(), *no_constants(text, spans)]):
        if start < end:
            wrong.append(f"{here[0].name}: its text in {mutants[0].path} overlaps with that of another: {here[0].before}")
            continue
        parts += [text[end:start], switched(here) if here else ""]
        end = stop
    return "".join([*parts, text[end:]]), wrong


def no_constants(text, spans):
    """Where functions with a bug in them say that they are constant: no switch can be read then."""
    functions = {text.rfind("fn ", 0, start) for start, _ in spans}
    word = "const "
    return [((at - len(word), at), []) for at in functions if text[:at].endswith(word)]


def switched(mutants):
    """An expression, or a statement, that is as it was where none of `mutants` is on; they all replace the same text."""
    before = mutants[0].before
    cases = "".join(f'if crate::mutants::mutated!("{one.name}") {{ {one.after} }} else ' for one in mutants)
    whole = f"{cases}{{ {before} }}"
    # A statement may not be in brackets, and what is part of an expression must be.
    return whole if before.endswith((";", "}")) else f"({whole})"


def files():
    """The work tree's own files, those that are not committed yet included."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for path in sorted(set(listed.split("\0"))) if path and (ROOT / path).is_file()]


def copy(mutants, to):
    """Puts the work tree with all of `mutants` into the folder `to`; what is there already is left as it is, so that little
    is built again."""
    wanted = {path: (ROOT / path).read_bytes() for path in files()}
    for crate in {mutant.path.split("/src/")[0] for mutant in mutants}:
        wanted[f"{crate}/src/mutants.rs"] = SWITCH.read_bytes()
        # What is not used with a bug would be warned of by the hundred.
        wanted[f"{crate}/src/lib.rs"] = b"#![allow(warnings)]\n" + wanted[f"{crate}/src/lib.rs"] + b"\nmod mutants;\n"
    for path in {mutant.path for mutant in mutants}:
        text, wrong = mutated(wanted[path].decode(), [mutant for mutant in mutants if mutant.path == path])
        if wrong:
            raise Stale("\n".join(wrong))
        wanted[path] = text.encode()
    for old in [path for path in to.rglob("*") if path.is_file() or path.is_symlink()]:
        if str(old.relative_to(to)) not in wanted:
            old.unlink()
    for path, content in wanted.items():
        new = to / path
        if not new.is_file() or new.read_bytes() != content:
            new.parent.mkdir(parents=True, exist_ok=True)
            new.write_bytes(content)
