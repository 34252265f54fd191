#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What the core can read must not depend on the headers it was built with: no
# build condition but the byte order, and no kernel name newer than Linux 4.9's
# uapi. What is newer stands in internal.h by value.
set -eu
source=$1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

if grep -nE '^[[:space:]]*#[[:space:]]*(if|elif)' "$source"/csrc/*.c | grep -v __BYTE_ORDER__; then
    echo "not ok - a build condition in csrc/ may change what is read"
    exit 1
fi
echo "ok - no unit has a build condition but that on the byte order"

# Compared once with the headers of 4.9; a name that is added here was looked up likewise.
sort >"$tmp/known" <<'NAMES'
BOND_MODE_8023AD
BOND_STATE_ACTIVE
IFLA_BOND_AD_INFO
IFLA_BOND_AD_INFO_ACTOR_KEY
IFLA_BOND_AD_INFO_AGGREGATOR
IFLA_BOND_AD_INFO_MAX
IFLA_BOND_AD_INFO_NUM_PORTS
IFLA_BOND_AD_INFO_PARTNER_KEY
IFLA_BOND_AD_INFO_PARTNER_MAC
IFLA_BOND_AD_LACP_RATE
IFLA_BOND_MAX
IFLA_BOND_MIIMON
IFLA_BOND_MIN_LINKS
IFLA_BOND_MODE
IFLA_BOND_SLAVE_AD_ACTOR_OPER_PORT_STATE
IFLA_BOND_SLAVE_AD_AGGREGATOR_ID
IFLA_BOND_SLAVE_AD_PARTNER_OPER_PORT_STATE
IFLA_BOND_SLAVE_MAX
IFLA_BOND_SLAVE_STATE
IFLA_EXT_MASK
IFLA_IFNAME
IFLA_INFO_DATA
IFLA_INFO_KIND
IFLA_INFO_MAX
IFLA_INFO_SLAVE_DATA
IFLA_INFO_SLAVE_KIND
IFLA_LINKINFO
IFLA_MASTER
IFLA_NUM_VF
IFLA_OPERSTATE
IFLA_VFINFO_LIST
IFLA_VF_INFO
IFLA_VF_LINK_STATE
IF_OPER_UNKNOWN
IF_OPER_UP
NETLINK_ROUTE
NLA_ALIGN
NLA_F_NESTED
NLA_HDRLEN
NLA_STRING
NLA_TYPE_MASK
NLA_U16
NLA_U32
NLA_U8
NLA_UNSPEC
NLMSG_ALIGN
NLMSG_ALIGNTO
NLMSG_DATA
NLMSG_DONE
NLMSG_ERROR
NLMSG_HDRLEN
NLMSG_LENGTH
NLM_F_ACK
NLM_F_DUMP
NLM_F_DUMP_INTR
NLM_F_REQUEST
RTM_DELLINK
RTM_GETLINK
RTM_NEWLINK
RTM_SETLINK
RTNLGRP_LINK
NAMES
cat "$source"/csrc/*.c "$source/csrc/internal.h" | sed 's://.*$::' | tr '\n' '\r' |
    sed 's:/\*[^*]*\*\+\([^/*][^*]*\*\+\)*/::g' | tr '\r' '\n' |
    grep -oE '\b(IFLA|NLM|NLMSG|NLMSGERR|RTM|RTEXT|NETLINK|BOND|IF|NLA|RTNLGRP)_[A-Z0-9_]+' |
    grep -v '^BOND_SIZE_MIN$' | sort -u >"$tmp/used"
if ! comm -23 "$tmp/used" "$tmp/known" | sed 's/^/not ok - not in the headers of Linux 4.9, or not looked up: /' |
    awk '{ print } END { exit NR > 0 }'; then
    exit 1
fi
echo "ok - the core uses $(wc -l <"$tmp/used") names of the kernel, all in the headers of Linux 4.9"
