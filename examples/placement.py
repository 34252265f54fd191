#!/usr/bin/env python3
"""May I place a pod on this PF? For device plugins and CNIs: one JSON line, and a status.

Exit status: 0 yes, LACP is up; 1 no, it is down; 2 the question could not be asked (stderr says
why, and there is no line); 3 LACP says nothing of this PF, as where it is in no 802.3ad bond:
decide as without LACP. "place" in the line is true, false or null accordingly.

Needs no privilege, but the network namespace that the PF is in, the host's.
"""

from __future__ import annotations

import argparse
import json
import sys

import pfstatus

ANSWERS = {  # what to say as JSON, and the exit status
    pfstatus.LacpStatus.UP: (True, 0),
    pfstatus.LacpStatus.DOWN: (False, 1),
    pfstatus.LacpStatus.UNKNOWN: (None, 3),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("interface", metavar="INTERFACE")
    parser.add_argument("--wait", type=float, default=0.0, metavar="SECONDS",
                        help="give LACP so long to come up (%(default)s)")
    parser.add_argument("--netns", metavar="PATH",
                        help="the host's network namespace, from inside a pod (CAP_SYS_ADMIN)")
    args = parser.parse_args()
    try:
        pf = pfstatus.wait_for(args.interface, timeout=args.wait, netns=args.netns)
    except pfstatus.LacpTimeoutError as exc:
        pf = exc.status
    except (OSError, ValueError) as exc:
        print(f"placement: {exc}", file=sys.stderr)
        return 2
    place, status = ANSWERS[pf.lacp.status]
    print(json.dumps({"interface": pf.name, "place": place, "lacp": pf.lacp.to_dict()}))
    return status


if __name__ == "__main__":
    sys.exit(main())
