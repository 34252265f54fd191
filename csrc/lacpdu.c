// SPDX-License-Identifier: Apache-2.0
/*
 * LACPDUs: bytes to values and back. No socket, no clock.
 *
 * As bonding does, it reads what lies at version 1's offsets and minds nothing
 * behind: IEEE 802.1AX-2014 6.4.2.3 has later versions keep them and append.
 */

#include <errno.h>
#include <linux/if_ether.h>
#include <string.h>

#include "internal.h"

#define SUBTYPE_LACP 1

/* Type and length of a TLV, which are an octet each. */
#define TLV_ACTOR 0x0114
#define TLV_PARTNER 0x0214
#define TLV_COLLECTOR 0x0310

/* Offsets in the frame, which begins with its Ethernet header. */
enum {
	AT_SOURCE = 6,
	AT_TYPE = 12,
	AT_SUBTYPE = 14,
	AT_VERSION = 15,
	AT_ACTOR = 16,
	AT_PARTNER = 36,
	AT_COLLECTOR = 56,
	AT_MAX_DELAY = 58,
	AT_MARK = PFS_LACPDU_BYTES - 4,

	/* In the TLV of an end. */
	IN_SYSTEM_PRIORITY = 2,
	IN_SYSTEM = 4,
	IN_KEY = 10,
	IN_PORT_PRIORITY = 12,
	IN_PORT = 14,
	IN_STATE = 16,
};

static const uint8_t slow_protocols_multicast[ETH_ALEN] = { 0x01, 0x80, 0xc2, 0x00, 0x00, 0x02 };

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static void put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, (uint16_t)(value >> 16));
	put16(at + 2, (uint16_t)value);
}

static void end_get(struct pfs_lacpdu_end *end, const uint8_t *tlv)
{
	end->system_priority = get16(tlv + IN_SYSTEM_PRIORITY);
	memcpy(end->system, tlv + IN_SYSTEM, sizeof(end->system));
	end->key = get16(tlv + IN_KEY);
	end->port_priority = get16(tlv + IN_PORT_PRIORITY);
	end->port = get16(tlv + IN_PORT);
	end->state = tlv[IN_STATE];
	end->reserved = 0;
}

static void end_put(uint8_t *tlv, uint16_t type_length, const struct pfs_lacpdu_end *end)
{
	put16(tlv, type_length);
	put16(tlv + IN_SYSTEM_PRIORITY, end->system_priority);
	memcpy(tlv + IN_SYSTEM, end->system, sizeof(end->system));
	put16(tlv + IN_KEY, end->key);
	put16(tlv + IN_PORT_PRIORITY, end->port_priority);
	put16(tlv + IN_PORT, end->port);
	tlv[IN_STATE] = end->state;
}

int pfs_lacpdu_decode(const void *buf, size_t len, struct pfs_lacpdu *pdu)
{
	const uint8_t *frame = buf;

	if (len <= AT_SUBTYPE || get16(frame + AT_TYPE) != ETH_P_SLOW ||
	    frame[AT_SUBTYPE] != SUBTYPE_LACP)
		return -ENOMSG;
	if (len < PFS_LACPDU_BYTES || get16(frame + AT_ACTOR) != TLV_ACTOR ||
	    get16(frame + AT_PARTNER) != TLV_PARTNER)
		return -EBADMSG;
	memset(pdu, 0, sizeof(*pdu));
	memcpy(pdu->source, frame + AT_SOURCE, sizeof(pdu->source));
	pdu->version = frame[AT_VERSION];
	end_get(&pdu->actor, frame + AT_ACTOR);
	end_get(&pdu->partner, frame + AT_PARTNER);
	if (get16(frame + AT_COLLECTOR) == TLV_COLLECTOR)
		pdu->collector_max_delay = get16(frame + AT_MAX_DELAY);
	pdu->mark = pfs_lacpdu_mark(frame, len);
	return 0;
}

int pfs_lacpdu_encode(void *buf, size_t capacity, const struct pfs_lacpdu *pdu)
{
	uint8_t *frame = buf;

	if (capacity < PFS_LACPDU_BYTES)
		return -EMSGSIZE;
	memset(frame, 0, PFS_LACPDU_BYTES);
	memcpy(frame, slow_protocols_multicast, ETH_ALEN);
	memcpy(frame + AT_SOURCE, pdu->source, sizeof(pdu->source));
	put16(frame + AT_TYPE, ETH_P_SLOW);
	frame[AT_SUBTYPE] = SUBTYPE_LACP;
	frame[AT_VERSION] = pdu->version;
	end_put(frame + AT_ACTOR, TLV_ACTOR, &pdu->actor);
	end_put(frame + AT_PARTNER, TLV_PARTNER, &pdu->partner);
	put16(frame + AT_COLLECTOR, TLV_COLLECTOR);
	put16(frame + AT_MAX_DELAY, pdu->collector_max_delay);
	put32(frame + AT_MARK, pdu->mark);
	return PFS_LACPDU_BYTES;
}

/*
 * The last four of version 1's 50 reserved octets, which are sent as zero and
 * ignored by whoever receives them (6.4.2.3). A later version may use them.
 */
uint32_t pfs_lacpdu_mark(const uint8_t *frame, size_t len)
{
	return len == PFS_LACPDU_BYTES && frame[AT_VERSION] == 1 ? get32(frame + AT_MARK) : 0;
}

/* Only where pfs_lacpdu_mark() would find it again: the rest has no room that is nobody's. */
bool pfs_lacpdu_set_mark(uint8_t *frame, size_t len, uint32_t mark)
{
	if (len != PFS_LACPDU_BYTES || frame[AT_VERSION] != 1)
		return false;
	put32(frame + AT_MARK, mark);
	return true;
}

/* What a LACPDU of our own says of its partner: that partner's own words, but for some bits. */
void pfs_lacpdu_set_partner(uint8_t *frame, const struct pfs_lacpdu_end *partner, uint8_t flip)
{
	end_put(frame + AT_PARTNER, TLV_PARTNER, partner);
	frame[AT_PARTNER + IN_STATE] ^= flip;
}
