#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Puts the licence of the bundled libnl into an unpacked wheel: bundle.py FOLDER VERSION-OF-LIBNL.

The sdist is under Apache-2.0 alone; a wheel that auditwheel has put libnl into is not.
"""

import sys
from pathlib import Path

LICENSES = Path(__file__).parents[2] / "LICENSES"


def main(folder: Path, libnl: str) -> None:
    """Add the texts, and name them in METADATA (PEP 639)."""
    (dist_info,) = folder.glob("*.dist-info")
    metadata = dist_info / "METADATA"
    text = metadata.read_text()
    for source in sorted(LICENSES.iterdir()):
        words = source.read_text().replace("@LIBNL@", libnl)
        (dist_info / "licenses" / source.name).write_text(words)
        text = text.replace(
            "License-File: LICENSE\n", f"License-File: LICENSE\nLicense-File: {source.name}\n"
        )
    expression = "License-Expression: Apache-2.0"
    assert f"{expression}\n" in text
    metadata.write_text(text.replace(expression, f"{expression} AND LGPL-2.1-only"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
