from __future__ import annotations

import copy
import dataclasses
import pickle
import re
from pathlib import Path

import pytest

from pfstatus import (
    Bond,
    BondMode,
    Cause,
    Change,
    Direction,
    Error,
    Lacp,
    LacpRate,
    LacpReason,
    LacpState,
    LacpStatus,
    LinkState,
    LinkStatus,
    OperState,
    Vf,
    VfResult,
)
from pfstatus._core import ffi, lib

HEADER = Path(__file__).parent.parent / "csrc" / "pfstatus.h"
UAPI = Path("/usr/include/linux")

UP = Lacp(LacpStatus.UP, LacpReason.UP, "LACP is up.")
EXPIRED = Lacp(LacpStatus.DOWN, LacpReason.EXPIRED, "LACPDUs have stopped.")
ABSENT = Lacp(LacpStatus.UNKNOWN, LacpReason.ABSENT, "There is no interface.")
BOND = Bond(
    7, "bond0", BondMode.IEEE_802_3AD, LacpRate.FAST, 100, 0, 1, 1, 15, 3, "02:00:00:00:00:01"
)
PF = LinkStatus(
    "ens5f0",
    UP,
    ifname="ens5f0",
    ifindex=3,
    operstate=OperState.UP,
    master=7,
    master_kind="bond",
    bond=BOND,
    active=True,
    aggregator_id=1,
    actor=LacpState(0x3F),
    partner=LacpState(0x3F),
    num_vfs=1,
    vfs=(Vf(0, LinkState.AUTO),),
)
VALUES = [
    *(LinkState.AUTO, LacpState.EXPIRED, BondMode.ACTIVE_BACKUP, LacpRate.SLOW, OperState.UP),
    *(LacpStatus.DOWN, LacpReason.NO_BOND, Cause.RESYNC),
    *(UP, BOND, PF, Vf(3, LinkState.ENABLE), Change(None, PF, Cause.START)),
]


def constants(text: str, prefix: str) -> dict[str, int]:
    """``PREFIX_NAME = 1`` and ``#define PREFIX_NAME 1`` in a C header."""
    found = re.findall(
        rf"^(?:#define)?\s*{prefix}(\w+)\s*=?\s*(0x[0-9a-f]+|\d+)\b", text, re.MULTILINE
    )
    return {name: int(value, 0) for name, value in found}


def members(enum) -> dict[str, int]:
    return {member.name: member.value for member in enum}


@pytest.mark.parametrize(
    ("enum", "prefix"),
    [
        (LinkState, "PFS_VF_"),
        (LacpState, "PFS_LACP_STATE_"),
        (LacpReason, r"PFS_LACP_(?!STATE_)"),
        (Direction, "PFS_TAP_"),
    ],
    ids=["LinkState", "LacpState", "LacpReason", "Direction"],
)
def test_enum_is_the_header_s(enum, prefix):
    assert members(enum) == constants(HEADER.read_text(), prefix)


def uapi(name: str) -> str:
    path = UAPI / name
    if not path.exists():
        pytest.skip(f"the kernel's header {path} is not installed")
    return path.read_text()


def test_lacp_state_is_the_kernel_s():
    kernel = constants(uapi("if_bonding.h"), "LACP_STATE_")
    if not kernel:
        pytest.skip("the kernel's headers are older than 5.8")
    assert {name.removeprefix("LACP_"): value for name, value in kernel.items()} == members(
        LacpState
    )


def test_bond_mode_is_the_kernel_s():
    assert constants(uapi("if_bonding.h"), "BOND_MODE_") == {
        "ROUNDROBIN": BondMode.BALANCE_RR,
        "ACTIVEBACKUP": BondMode.ACTIVE_BACKUP,
        "XOR": BondMode.BALANCE_XOR,
        "BROADCAST": BondMode.BROADCAST,
        "8023AD": BondMode.IEEE_802_3AD,
        "TLB": BondMode.BALANCE_TLB,
        "ALB": BondMode.BALANCE_ALB,
    }


def in_order(text: str, prefix: str) -> list[str]:
    """Members of a C enum that counts from 0."""
    return re.findall(rf"^\s*{prefix}([A-Z]+),", text, re.MULTILINE)


def test_link_state_is_the_kernel_s():
    assert in_order(uapi("if_link.h"), "IFLA_VF_LINK_STATE_") == [state.name for state in LinkState]


def test_oper_state_is_the_kernel_s():
    assert in_order(uapi("if.h"), "IF_OPER_") == [state.name for state in OperState]


def test_lacp_reason_is_called_as_in_c():
    in_c = {reason: ffi.string(lib.pfs_lacp_name(reason)).decode() for reason in LacpReason}
    assert in_c == {reason: str(reason) for reason in LacpReason}


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_value_is_hashable_and_survives_pickle(value):
    again = pickle.loads(pickle.dumps(value))
    assert again == value == copy.deepcopy(value)
    assert hash(again) == hash(value)
    assert type(again) is type(value)


@pytest.mark.parametrize(
    "value", [UP, BOND, PF, Change(None, PF, Cause.START)], ids=lambda v: type(v).__name__
)
def test_value_is_frozen(value):
    field = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, None)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (LinkState.AUTO, "auto"),
        (LinkState.DISABLE, "disable"),
        (BondMode.IEEE_802_3AD, "802.3ad"),
        (BondMode.ACTIVE_BACKUP, "active-backup"),
        (LacpRate.SLOW, "slow"),
        (OperState.LOWERLAYERDOWN, "lowerlayerdown"),
        (LacpStatus.UNKNOWN, "unknown"),
        (LacpReason.NOT_A_BOND, "not-a-bond"),
        (Cause.RESYNC, "resync"),
        (UP, "up"),
        (EXPIRED, "down (expired)"),
        (PF, "ens5f0: LACP up"),
        (Change(None, PF, Cause.START), "ens5f0: LACP up [start]"),
        (
            Change(PF, LinkStatus("ens5f0", ABSENT), Cause.EVENT),
            "ens5f0: LACP up -> unknown (absent) [event]",
        ),
    ],
    ids=str,
)
def test_value_reads_well(value, text):
    assert str(value) == text


@pytest.mark.parametrize("value", ["disable", "DISABLE", 2, LinkState.DISABLE], ids=repr)
def test_link_state_is_parsed(value):
    assert LinkState.parse(value) is LinkState.DISABLE


@pytest.mark.parametrize("value", ["down", "", "2", 3, -1, None, 1.5], ids=repr)
def test_link_state_refuses_what_is_none(value):
    with pytest.raises(ValueError, match="auto, enable or disable"):
        LinkState.parse(value)


def test_vf_result_carries_an_error():
    result = VfResult(3, LinkState.DISABLE, Error(16, "ens5f0"))
    assert pickle.loads(pickle.dumps(result)).error.errno == 16
