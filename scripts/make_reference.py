#!/usr/bin/env python3
"""Write the generated pages of docs/reference, and the figures of the README from benchmarks/figures.json."""

from pathlib import Path

from tidegate.apps.reference_docs import pages, with_figures

root = Path(__file__).resolve().parents[1]
for name, text in pages().items():
    (root / "docs" / "reference" / name).write_text(text, encoding="utf-8")
readme = root / "README.md"
figures = (root / "benchmarks" / "figures.json").read_bytes()
readme.write_text(with_figures(readme.read_text(encoding="utf-8"), figures), encoding="utf-8")
