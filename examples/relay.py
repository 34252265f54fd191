#!/usr/bin/env python3
"""The reference relay: when LACP is lost on a PF, its VFs go from auto to disable, and back.

Exit status: 0 ended by SIGTERM, SIGINT or SIGHUP, 2 bad configuration, 3 something failed.
"""

import argparse
import sys

from pfstatus.relay import config, program


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    config.add_arguments(parser)
    try:
        program.serve(config.from_arguments(parser.parse_args()))
    except (ValueError, OSError) as exc:
        print(f"relay: {exc.strerror if isinstance(exc, OSError) else exc}", file=sys.stderr)
        return 3 if isinstance(exc, OSError) else 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
