"""Writes docs/licences.md: every pinned package, its version, its licence, what needs it, as the installed packages say.

python docs/licences.py
"""

import re
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "licences.md"

# Licences that an Apache-2.0 program may stand beside and be shipped with. Whatever is not here fails a test.
ALLOWED = {
    *("0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0"),
    *("ISC", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Zlib", "public domain"),
}

# What free text and classifiers mean. "BSD" alone names the family; the wheels' texts are of the three clauses.
MEANING = {
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "3-Clause BSD License": "BSD-3-Clause",
    "BSD 3-Clause License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT license": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}

# Read in the licence file of the wheel, since its metadata say nothing, too little, or another thing in another build.
STATED = {
    "docutils": "public domain AND BSD-2-Clause AND BSD-3-Clause",
    "huey": "MIT",
    "python-dateutil": "Apache-2.0 OR BSD-3-Clause",
    "skops": "MIT",
    "torch": "BSD-3-Clause",
    "umap-learn": "BSD-3-Clause",
}

MPL = "by file: holds for changed files of this package, and dadsp neither changes nor ships any"
REMARKS = {
    "certifi": MPL,
    "docutils": "its metadata name the GPL too, for an Emacs mode that stands in the source archive and not in the wheel; "
    "builds the documentation, no part of dadsp",
    "huey": "its metadata name no licence, its licence file is MIT's; mlflow needs it for jobs of its server, not dadsp",
    "hypothesis": MPL + "; tests alone",
    "matplotlib": "PSF-style licence of its own; the wheel's FreeType is taken under the FreeType licence",
    "numpy": "the wheel brings GCC's libgfortran (GPL-3.0 with the runtime library exception: any program may be linked "
    "with it) and libquadmath (LGPL-2.1, a shared library of its own)",
    "pathspec": MPL + "; for hatchling and mypy",
    "pillow": "the wheel's FreeType is taken under the FreeType licence",
    "python-dateutil": "either may be chosen",
    "rdkit": "the wheel brings cairo (LGPL-2.1 or MPL-1.1, a shared library of its own)",
    "scikit-learn": "the wheel brings GCC's libgomp (GPL-3.0 with the runtime library exception)",
    "scipy": "as numpy",
    "torch": "the wheel brings libraries under Apache-2.0, BSD, BSL-1.0 and MIT, and GCC's libgomp (as scikit-learn); GPU "
    "builds install NVIDIA's CUDA packages, which are proprietary and under NVIDIA's terms; dadsp needs none",
    "tqdm": MPL,
}

HEAD = """# Licences of dependencies

dadsp is under Apache-2.0 ([LICENSE](../LICENSE)). It ships none of the packages below: `pip` fetches them from their makers.
The table lists every pin of `constraints.txt`, direct and transitive, with the licence that the installed package states.
`python docs/licences.py` writes this page; a test fails where a pin is missing here, or has a licence outside the list that
an Apache-2.0 program may use ({allowed}).

**Needed by**: *runtime* comes with `pip install dadsp`, the other names are its extras. Where a package may be had under
either of two licences, both stand here with OR. A few wheels bring shared libraries under terms of their own; the remarks
name those that are not plainly permissive.

| package | version | licence | needed by | remark |
|---|---|---|---|---|
"""


def pins() -> dict[str, str]:
    """Version of every package of constraints.txt by its name."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def installed(name: str) -> Distribution | None:
    """The package, where it is installed."""
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def licence(package: Distribution) -> str:
    """Its licence as an expression of SPDX names, or what its metadata say where that means nothing here."""
    facts = package.metadata
    name = canonicalize_name(facts["Name"])
    if name in STATED:
        return STATED[name]
    if "License-Expression" in facts:
        return str(facts["License-Expression"])
    classifiers = [line.rpartition(" :: ")[2] for line in facts.get_all("Classifier") or [] if line.startswith("License ::")]
    found = [MEANING[line] for line in classifiers if line in MEANING]
    if found:
        return " AND ".join(found)
    text = str(facts["License"]).strip() if "License" in facts else ""
    return MEANING.get(text, text) or f"unknown ({', '.join(classifiers)})"


def parts(expression: str) -> list[str]:
    """The single licences of an expression."""
    return re.split(r" (?:AND|OR) ", expression.replace("(", "").replace(")", ""))


def needed_by() -> dict[str, list[str]]:
    """For every package reached from pyproject.toml, through what is installed: runtime, or the extras that bring it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"runtime": project["dependencies"], **project["optional-dependencies"]}
    reached: dict[str, list[str]] = {}
    for group, wanted in groups.items():
        for name in sorted(_closure(map(Requirement, wanted))):
            if reached.get(name) != ["runtime"]:
                reached.setdefault(name, []).append(group)
    return reached


def _closure(wanted: Iterable[Requirement]) -> set[str]:
    found: set[str] = set()
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = list(wanted)
    while todo:
        one = todo.pop()
        key = (canonicalize_name(one.name), frozenset(one.extras))
        if key not in seen:
            seen.add(key)
            found.add(key[0])
            todo += _requirements(one)
    return found


def _requirements(one: Requirement) -> Iterator[Requirement]:
    package = installed(one.name)
    for text in (package.requires or []) if package else []:
        inner = Requirement(text)
        if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in ("", *one.extras)):
            yield inner


def page() -> str:
    """The whole page.

    Raises:
        PackageNotFoundError: A pinned package is not installed, so that its licence cannot be read.
    """
    reached = needed_by()
    rows = []
    for name, version in pins().items():
        key = canonicalize_name(name)
        cells = (name, version, licence(distribution(name)), ", ".join(reached.get(key, [])), REMARKS.get(key, ""))
        rows.append(f"| {' | '.join(cells)} |\n")
    return HEAD.format(allowed=", ".join(sorted(ALLOWED, key=str.lower))) + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
