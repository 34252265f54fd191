"""The knobs and readings of one simulated NIC port; nicsim/knobs.c and trace.c say what they mean.

Times are nanoseconds of CLOCK_MONOTONIC, so that `time.monotonic_ns()` compares with them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_DEBUGFS = Path("/sys/kernel/debug/nicsim")
DEVICES = Path("/sys/bus/pci/devices")


def lacp_up(actor: int | None, partner: int | None) -> bool:
    """Whether both ends are in sync, collect and distribute, neither expired nor
    defaulted (IEEE 802.1AX-2014 6.4.2.3)."""
    if actor is None or partner is None:
        return False
    return actor & partner & 0x38 == 0x38 and not (actor | partner) & 0xC0


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a port's trace; what a kind of record does not tell is None."""

    ns: int
    kind: str
    """`changelowerstate`, `change`: the kernel announced something. `sample`: the port states are
    others than 2 ms before. `set`: a VF's link state was set."""
    actor: int | None = None
    partner: int | None = None
    link_up: int | None = None
    tx_enabled: int | None = None
    vf: int | None = None
    state: str | None = None
    result: int | None = None

    @classmethod
    def parse(cls, line: str) -> "Record":
        ns, kind, *words = line.split()
        fields = dict(word.split("=", 1) for word in words)
        state = fields.pop("state", None)
        numbers = {name: int(value, 0) for name, value in fields.items()}
        for name in ("actor", "partner"):
            if numbers.get(name) == -1:
                del numbers[name]
        return cls(int(ns), kind, state=state, **numbers)

    @property
    def lacp_up(self) -> bool:
        """Whether it tells of LACP up. When the link goes, bonding clears the port states only at
        its next tick: until then they are those of the past."""
        return self.link_up != 0 and lacp_up(self.actor, self.partner)


@dataclass(frozen=True, slots=True)
class Reaction:
    """How VFs followed a change of LACP, as the kernel itself saw it."""

    visible_ns: int
    """First instant at which any program could have seen the change."""
    first_set_ns: int
    last_set_ns: int
    sets: int
    """VFs set with success."""

    @property
    def seconds(self) -> float:
        """From the change to the last VF."""
        return (self.last_set_ns - self.visible_ns) / 1e9


def reaction(trace: Sequence[Record], *, up: bool) -> Reaction:
    """Measures the first change of LACP to `up`, or to not up, in a trace that began before it.

    Raises:
        ValueError: there was no such change, or no VF was set after it.
    """
    seen = (record for record in trace if record.kind != "set")
    visible = next((record.ns for record in seen if record.lacp_up == up), None)
    if visible is None:
        raise ValueError(f"LACP never went {'up' if up else 'down'}")
    sets = [r.ns for r in trace if r.kind == "set" and r.result == 0 and r.ns >= visible]
    if not sets:
        raise ValueError("no VF was set")
    return Reaction(visible, sets[0], sets[-1], len(sets))


class Nic:
    """One port of the simulated NIC: `nicsim0`, `nicsim1`, ..."""

    def __init__(self, index: int) -> None:
        self._knobs = _DEBUGFS / f"nicsim{index}"
        self._bus = 0x3B + 3 * index
        self._device = DEVICES / f"0001:{self._bus:02x}:00.0"

    def _read(self, knob: str) -> str:
        return (self._knobs / knob).read_text()

    def _write(self, knob: str, value: object) -> None:
        (self._knobs / knob).write_text(f"{value}\n")

    @property
    def there(self) -> bool:
        """Whether the module, as it was loaded, has this port."""
        return self._device.exists()

    @property
    def num_vfs(self) -> int:
        """Number of VFs."""
        return int((self._device / "sriov_numvfs").read_text())

    @num_vfs.setter
    def num_vfs(self, count: int) -> None:
        if count != self.num_vfs:
            if count and self.num_vfs:
                (self._device / "sriov_numvfs").write_text("0")
            (self._device / "sriov_numvfs").write_text(str(count))

    def vf_address(self, vf: int) -> str:
        """PCI address of a VF."""
        function = (self._bus << 8) + 0x10 + vf
        return f"0001:{function >> 8:02x}:{function >> 3 & 0x1F:02x}.{function & 7}"

    def bind_vf(self, vf: int, driver: str) -> None:
        """Gives a VF another driver, such as `vfio-pci`; `nicsimvf` is the one that it had."""
        device = DEVICES / self.vf_address(vf)
        (device / "driver" / "unbind").write_text(device.name)
        (device / "driver_override").write_text(driver)
        (DEVICES.parent / "drivers_probe").write_text(device.name)

    @property
    def present(self) -> bool:
        """Whether the PF's netdev is there; without it there are no VFs."""
        return self._read("present") == "1\n"

    @present.setter
    def present(self, present: bool) -> None:
        self._write("present", int(present))

    def vf_states(self) -> dict[int, str]:
        """Each VF's link state as the NIC has it, which no netlink limit cuts short."""
        pairs = (line.split() for line in self._read("vf_state").splitlines())
        return {int(vf): state for vf, state in pairs}

    def slow(self, *, set_seconds: float = 0.0, get_seconds: float = 0.0) -> None:
        """Makes the firmware need that long for each VF, with RTNL held."""
        self._write("set_delay_us", round(set_seconds * 1e6))
        self._write("get_delay_us", round(get_seconds * 1e6))

    def fail(self, vf: int, errno: int, times: int = -1, *, done: bool = False) -> None:
        """Makes setting that VF's link state fail that many times; -1 for ever, 0 no more.

        An errno of 0 is a driver that says yes and does nothing; with `done` it sets the VF all the
        same, whatever it says.
        """
        self._write("vf_fail", f"{vf} {errno} {times} {done:d}")

    def hide(self, vfs: Iterable[int]) -> None:
        """Makes reading these VFs fail with EAGAIN, and no others: they drop out of the list."""
        self._write("vf_hide", ",".join(map(str, vfs)))

    def sample_lacp(self, on: bool) -> None:
        """Makes the trace note what the kernel does not announce: the recovery of LACP."""
        self._write("sample_lacp", int(on))

    def calls(self) -> tuple[int, int]:
        """How often a VF's link state was set, and a VF was read, since `reset_trace()`."""
        return int(self._read("set_calls")), int(self._read("get_calls"))

    def trace(self) -> list[Record]:
        """What happened since `reset_trace()`.

        Raises:
            OverflowError: it was more than the trace holds.
        """
        lines = self._read("trace").splitlines()
        if lines and lines[-1].startswith("lost"):
            raise OverflowError(f"trace full: {lines[-1]}")
        return [Record.parse(line) for line in lines]

    def reset_trace(self) -> None:
        """Empties the trace and sets both counts of calls to 0."""
        for knob in ("trace", "set_calls", "get_calls"):
            self._write(knob, 0)

    def reset(self) -> None:
        """Sets all knobs as they were when the module was loaded."""
        self._write("vf_fail", "")
        self.hide(())
        self.slow()
        self.sample_lacp(False)
        self.present = True
        self.num_vfs = 0
        self.reset_trace()
