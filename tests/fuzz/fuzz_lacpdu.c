// SPDX-License-Identifier: Apache-2.0
/* One frame: read, written again, asked with. */

#include "fuzz.h"
#include "guard.h"
#include "internal.h"

#include <errno.h>
#include <string.h>

static void check_round_trip(const struct pfs_lacpdu *pdu)
{
	uint8_t frame[PFS_LACPDU_BYTES + 1];
	struct pfs_lacpdu again, want = *pdu;

	frame[PFS_LACPDU_BYTES] = 0xee;
	MUST(pfs_lacpdu_encode(frame, PFS_LACPDU_BYTES, pdu) == PFS_LACPDU_BYTES);
	MUST(frame[PFS_LACPDU_BYTES] == 0xee);
	MUST(!pfs_lacpdu_decode(frame, PFS_LACPDU_BYTES, &again));
	MUST(pdu->version == 1 || !pdu->mark);
	MUST(!memcmp(&again, &want, sizeof(want)));

	/* The partner's part becomes what we heard, but for one bit. */
	pfs_lacpdu_set_partner(frame, &pdu->actor, PFS_LACP_STATE_TIMEOUT);
	MUST(!pfs_lacpdu_decode(frame, PFS_LACPDU_BYTES, &again));
	want.partner = pdu->actor;
	want.partner.state ^= PFS_LACP_STATE_TIMEOUT;
	MUST(!memcmp(&again, &want, sizeof(want)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pfs_lacpdu pdu, untouched;
	const uint8_t *frame;
	int ret;

	if (size > GUARD_BYTES)
		return 0;
	frame = guard_copy(data, size);
	memset(&pdu, 0xee, sizeof(pdu));
	untouched = pdu;
	ret = pfs_lacpdu_decode(frame, size, &pdu);
	MUST(ret == 0 || ret == -ENOMSG || ret == -EBADMSG);
	MUST(!memcmp(frame, data, size));
	if (ret)
		MUST(!memcmp(&pdu, &untouched, sizeof(pdu)));
	else
		check_round_trip(&pdu);
	return 0;
}
