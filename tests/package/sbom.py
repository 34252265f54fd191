"""What is in the image, as CycloneDX: `sbom.py FOLDER-OF-WHEELS`, Debian's packages on stdin."""

from __future__ import annotations

import json
import sys
import zipfile
from email.parser import HeaderParser
from hashlib import sha256
from pathlib import Path


def component(wheel: Path) -> dict[str, object]:
    """One wheel: its name, version, licence and digest."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = HeaderParser().parsestr(archive.read(name).decode())
    licence = metadata["License-Expression"] or metadata["License"] or ""
    found: dict[str, object] = {
        "type": "library",
        "name": metadata["Name"],
        "version": metadata["Version"],
        "purl": f"pkg:pypi/{metadata['Name'].lower().replace('_', '-')}@{metadata['Version']}",
        "hashes": [{"alg": "SHA-256", "content": sha256(wheel.read_bytes()).hexdigest()}],
    }
    if licence and "\n" not in licence:
        found["licenses"] = [{"license": {"name": licence}}]
    return found


def package(line: str) -> dict[str, object]:
    """One line of dpkg-query: source, package, version, architecture."""
    source, name, version, architecture = line.split()
    return {
        "type": "library",
        "name": name,
        "version": version,
        "purl": f"pkg:deb/debian/{name}@{version}?arch={architecture}&upstream={source}",
    }


def main(folder: str) -> None:
    """Print the list."""
    wheels = sorted(Path(folder).glob("*.whl"))
    print(
        json.dumps(
            {
                "bomFormat": "CycloneDX",
                "specVersion": "1.5",
                "version": 1,
                "metadata": {"component": {"type": "container", "name": "pfstatus"}},
                "components": [
                    *(component(wheel) for wheel in wheels),
                    *(package(line) for line in sys.stdin),
                ],
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main(sys.argv[1])
