"""List, decide, write: at each wake-up, and every minute whether or not one came."""

from __future__ import annotations

import datetime
import logging
import math
import random
import threading
import time
from typing import TYPE_CHECKING, Protocol

from pfstatus.operator.changes import changes
from pfstatus.operator.decide import decide
from pfstatus.operator.lease import NotLeadingError
from pfstatus.operator.render import HASH, Settings
from pfstatus.operator.resource import API_VERSION, KIND, Key, Monitor, Object, key_of
from pfstatus.operator.status import MOST_TROUBLED, trouble_of, troubled
from pfstatus.operator.watch import backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

log = logging.getLogger(__name__)

RESYNC = 60.0
"""Seconds after which the cluster is looked at without being told to."""
SHORTEST_GAP, LONGEST_GAP = 1.0, 10.0
"""Seconds between two turns: longer while something changes all the time."""
PODS_EVERY = 60.0
"""Seconds between two looks at the pods of a DaemonSet with nodes in trouble."""
PODS_AT_ONCE = 10
"""DaemonSets whose pods a turn looks at: an API server reads all of the namespace's for each, and
what is to be written must not wait for that."""
WRITES_PER_SECOND, WRITES_AT_ONCE = 20.0, 40.0


class Writer(Protocol):
    """What the loop does with the API server."""

    def monitors(self) -> list[Object]:
        """List the PFLACPMonitors."""

    def daemonsets(self) -> list[Object]:
        """List the DaemonSets."""

    def pods(self, daemonset: Key) -> Iterator[Object]:
        """Read a DaemonSet's pods."""

    def apply(self, daemonset: Object) -> None:
        """Make a DaemonSet what it is to be."""

    def adopt(self, daemonset: Object) -> None:
        """Take over the fields that the reference wrote."""

    def delete(self, daemonset: Object) -> None:
        """Delete a DaemonSet."""

    def set_status(self, key: Key, status: Object) -> None:
        """Write the whole status of a resource."""

    def event(self, event: Object) -> None:
        """Record an Event."""


class _Budget:
    """Writes that may be done now: 20 a second, 40 at once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._left = WRITES_AT_ONCE
        self._at = clock()

    def wait(self, stop: threading.Event) -> None:
        now = self._clock()
        self._left = min(WRITES_AT_ONCE, self._left + (now - self._at) * WRITES_PER_SECOND)
        self._at = now
        self._left -= 1
        if self._left < 0:
            stop.wait(-self._left / WRITES_PER_SECOND)


def _condition(status: Object, kind: str) -> tuple[str, str, str]:
    for found in status.get("conditions") or ():
        if found.get("type") == kind:
            return found.get("status", ""), found.get("reason", ""), found.get("message", "")
    return "", "", ""


def news(before: Object, after: Object) -> Iterator[tuple[str, str, str]]:
    """Say what of a status is worth an Event: type, reason, message."""
    was, now = _condition(before, "Degraded"), _condition(after, "Degraded")
    if now[0] == "True" and was[:2] != now[:2]:
        yield "Warning", now[1], now[2]
    elif now[0] == "False" and was[0] == "True":
        yield "Normal", now[1], now[2]
    was, now = _condition(before, "Ready"), _condition(after, "Ready")
    if now[0] == "True" and was[0] != "True":
        yield "Normal", now[1], now[2]
    elif now[0] == "False" and was[0] == "True" and _condition(after, "Degraded")[0] != "True":
        yield "Warning", now[1], now[2]


def _utc() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Loop:
    """One worker. It remembers nothing that a LIST would not tell again."""

    def __init__(
        self,
        cluster: Writer,
        settings: Settings,
        *,
        time_left: Callable[[], float],
        stop: threading.Event,
        identity: str = "",
        clock: Callable[[], float] = time.monotonic,
        told: Callable[[str], None] = lambda _result: None,
    ) -> None:
        """Make it; ``run()`` works in the calling thread until ``stop`` is set.

        Args:
            cluster: the API server.
            settings: the operator's options.
            time_left: seconds in which a write may begin; 0 while another operator leads.
            stop: set to end.
            identity: who says so, in Events.
            clock: seconds.
            told: is given the result of each turn: "done", "failed" or "standby".
        """
        self._cluster = cluster
        self._settings = settings
        self._time_left = time_left
        self._stop = stop
        self._identity = identity
        self._clock = clock
        self._told = told
        self._woken = threading.Event()
        self._failures: dict[Key, str] = {}
        self._looked: dict[Key, float] = {}
        self._budget = _Budget(clock)
        self.last_turn = clock()
        """When the last turn ended that failed at nothing."""

    def wake(self) -> None:
        """Call for a turn soon. Threads: any."""
        self._woken.set()

    def stand_by(self) -> None:
        """Hear that another operator is at work: nothing is amiss. Threads: any."""
        self.last_turn = self._clock()

    def run(self) -> None:
        """Take turns until stopped."""
        failures = 0
        gap = SHORTEST_GAP
        while not self._stop.is_set():
            self._woken.clear()
            if self._time_left() <= 0:
                self._told("standby")
                self._woken.wait(RESYNC)
                continue
            try:
                whole = self.turn()
            except NotLeadingError as error:
                log.warning("turn given up", extra={"error": str(error)})
                continue
            except Exception as error:  # whatever it was, the next LIST tells the truth
                log.warning("turn failed", extra={"error": f"{type(error).__name__}: {error}"})
                whole = False
            self._told("done" if whole else "failed")
            if whole:
                self.last_turn = self._clock()
                failures = 0
                self._stop.wait(gap)
                gap = min(LONGEST_GAP, gap * 2) if self._woken.is_set() else SHORTEST_GAP
                self._woken.wait(RESYNC * random.uniform(0.9, 1.1) - gap)
            else:
                failures += 1
                self._stop.wait(backoff(failures, RESYNC / 2))

    def turn(self) -> bool:
        """Look at everything, and write what differs. Returns whether all of it could be."""
        # DaemonSets first: whatever is there then has its resource in the second list, or has lost
        # it for good.
        daemonsets = self._cluster.daemonsets()
        resources = self._cluster.monitors()
        decision = decide(
            resources,
            daemonsets,
            self._settings,
            now=_utc(),
            troubles=self._troubles(resources, daemonsets),
            failures=self._failures,
        )
        wanted = changes(decision, resources, daemonsets)
        live = {key_of(found): found for found in daemonsets}
        owners = {Monitor.read(found).daemonset: key_of(found) for found in resources}
        self._failures = {}
        whole = True
        for found in wanted.delete:
            whole &= self._write(
                "daemonset deleted", key_of(found), owners, self._cluster.delete, found
            )
        for daemonset in wanted.apply:
            key = key_of(daemonset)
            former = live.get(key)
            if former is not None and HASH not in (former["metadata"].get("annotations") or {}):
                whole &= self._write("daemonset adopted", key, owners, self._cluster.adopt, former)
            whole &= self._write("daemonset applied", key, owners, self._cluster.apply, daemonset)
        before = {key_of(resource): resource for resource in resources}
        for key, status in wanted.statuses:
            said = self._write("status set", key, {}, self._cluster.set_status, key, status)
            whole &= said
            if said:
                self._tell(before[key], status)
        return whole

    def _write(
        self,
        what: str,
        key: Key,
        owners: dict[Key, Key],
        write: Callable[..., None],
        *arguments: object,
    ) -> bool:
        self._budget.wait(self._stop)
        try:
            write(*arguments)
        except NotLeadingError:
            raise
        except Exception as error:  # one resource's trouble is not another's
            log.warning(f"{what}: failed", extra={"key": str(key), "error": str(error)})
            if key in owners:
                self._failures[owners[key]] = str(error)
            return False
        log.info(what, extra={"key": str(key)})
        return True

    def _tell(self, resource: Object, status: Object) -> None:
        for kind, reason, message in news(resource.get("status") or {}, status):
            metadata = resource["metadata"]
            now = _utc()
            self._write(
                f"event {reason}",
                key_of(resource),
                {},
                self._cluster.event,
                {
                    "apiVersion": "v1",
                    "kind": "Event",
                    "metadata": {
                        "generateName": f"{metadata['name']}.",
                        "namespace": metadata["namespace"],
                    },
                    "involvedObject": {
                        "apiVersion": API_VERSION,
                        "kind": KIND,
                        "name": metadata["name"],
                        "namespace": metadata["namespace"],
                        "uid": metadata.get("uid", ""),
                    },
                    "type": kind,
                    "reason": reason,
                    "message": message[:1024],
                    "source": {"component": "pf-status-relay-operator", "host": self._identity},
                    "firstTimestamp": now,
                    "lastTimestamp": now,
                    "count": 1,
                },
            )

    def _troubles(
        self, resources: Iterable[Object], daemonsets: Iterable[Object]
    ) -> dict[Key, list[Object]]:
        """Look at pods, where a DaemonSet says that some are unready and nobody has just looked."""
        live = {key_of(found): found for found in daemonsets}
        unready = {}
        for monitor in map(Monitor.read, resources):
            status = live.get(monitor.daemonset, {}).get("status") or {}
            if status.get("numberReady", 0) < status.get("desiredNumberScheduled", 0):
                unready[monitor.key] = monitor.daemonset
        now = self._clock()
        self._looked = {key: when for key, when in self._looked.items() if key in unready}
        due = [key for key in unready if now >= self._looked.get(key, -math.inf) + PODS_EVERY]
        due.sort(key=lambda key: (self._looked.get(key, -math.inf), key))
        if len(due) > PODS_AT_ONCE:
            self.wake()
        found: dict[Key, list[Object]] = {}
        for key in due[:PODS_AT_ONCE]:
            if self._stop.is_set():
                break
            self._looked[key] = now
            troubles = set()
            for pod in self._cluster.pods(unready[key]):
                trouble = trouble_of(pod)
                if trouble is not None:
                    troubles.add(trouble)
                if len(troubles) == MOST_TROUBLED:
                    break
            found[key] = troubled(troubles)
        return found
