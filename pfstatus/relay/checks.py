"""What no event tells of: VFs that were made, another relay, a drill that was killed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pfstatus._wire import absent
from pfstatus.errors import Error, LinkNotFoundError
from pfstatus.relay.numvfs import NumVfs
from pfstatus.relay.report import Kind
from pfstatus.values import LacpStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pfstatus.monitor import Monitor
    from pfstatus.relay.drills import Drills
    from pfstatus.relay.narrator import Narrator
    from pfstatus.relay.ownership import Ownership
    from pfstatus.relay.pf import Pf
    from pfstatus.relay.rival import Claims

_UNKNOWN = LacpStatus.UNKNOWN


class Checks:
    """What a relay looks at every interval, beside the PFs themselves.

    Args:
        monitor: of the PFs; its session is used.
        ownership: of their VFs.
        narrator: is told what is found.
        claims: on the PFs.
        drills: on the PFs.
    """

    def __init__(
        self,
        monitor: Monitor,
        ownership: Ownership,
        narrator: Narrator,
        *,
        claims: Claims,
        drills: Drills,
    ) -> None:
        self._monitor = monitor
        self._session = monitor.session
        self._ownership = ownership
        self._narrator = narrator
        self._claims = claims
        self._drills = drills
        self.strays: dict[int, str] = {}
        """NICs with VFs that are noted, and why nobody has them."""

    def check(self, pfs: Mapping[str, Pf]) -> None:
        """What no event tells of and costs nobody anything, every interval."""
        now = time.monotonic()
        for pf in pfs.values():
            self._narrator.alias(pf.name, self._monitor.same_as(pf.name))
            if pf.status is None or pf.ifindex is None:
                continue
            self._narrator.rival(pf.name, self._claims.claim(pf.ifindex))
            self._end_drill(pf, pf.ifindex)
            if pf.num_vfs is None:
                pf.num_vfs = NumVfs(pf.status.ifname or pf.name, pf.ifindex)
            pf.checked = pf.num_vfs.signature()
            if pf.acts is not _UNKNOWN and pf.signature != pf.checked:
                pf.pace.touched(now)
        self._count_ports(pfs)
        if self.strays:
            self._look_for_strays(pfs)

    def _end_drill(self, pf: Pf, ifindex: int) -> None:
        """Take over the VFs of a drill that was killed: they are given back as ours are."""
        drill = self._drills.find(ifindex)
        if drill is None or drill.pid is not None or pf.waits:
            return
        self._ownership.about_to_disable(pf.name, ifindex, drill.vfs)
        self._drills.forget(ifindex)
        self._narrator.say(Kind.DRILL_KILLED, interface=pf.name, ids=sorted(drill.vfs))
        if pf.acts is not _UNKNOWN:
            pf.pace.touched(time.monotonic())

    def _count_ports(self, pfs: Mapping[str, Pf]) -> None:
        """A bond's own count leaves out the ports that are idle: one look at all links."""
        bonds = {
            pf.name: (pf.status.bond.ifindex, pf.status.bond.num_ports)
            for pf in pfs.values()
            if pf.status and pf.status.bond
        }
        if all(pfs[name].bond == bond for name, bond in bonds.items()):
            return
        try:
            masters = [port.master for port in self._session.ports()]
        except Error:
            return  # links come and go: at the next check
        for name, bond in bonds.items():
            pfs[name].bond = bond
            self._narrator.ports(name, masters.count(bond[0]))

    def _look_for_strays(self, pfs: Mapping[str, Pf]) -> None:
        """Say what VFs we had disabled on NICs that nobody serves any more."""
        strays, self.strays = self.strays, {}
        names = self._ownership.names()
        watched = {pf.ifindex for pf in pfs.values()}
        for ifindex, why in strays.items():
            if ifindex in watched or ifindex not in names or self._claims.claim(ifindex):
                continue
            self._claims.release(ifindex)
            try:
                _, _, vfs = self._session.vfs(absent(names[ifindex])._replace(ifindex=ifindex))
            except LinkNotFoundError:
                self._ownership.gone(ifindex)
                continue
            except Error as exc:
                self._narrator.trouble(names[ifindex], exc)
                continue
            ours = self._ownership.seen(ifindex, vfs).ours
            if ours:
                self._narrator.left(names[ifindex], ours, why)
