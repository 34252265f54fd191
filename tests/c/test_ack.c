// SPDX-License-Identifier: Apache-2.0
/* How a request ended: NLMSG_ERROR and NLMSG_DONE. */

#include "guard.h"
#include "harness.h"
#include "internal.h"
#include "message.h"

#include <errno.h>
#include <string.h>

#define ATTR_MSG 1
#define ATTR_OFFS 2

static struct message msg;
static struct pfs_ack ack;

static int decode(void)
{
	message_end(&msg);
	memset(&ack, 0xee, sizeof(ack));
	return pfs_ack_decode((void *)guard_copy(msg.buf, msg.len), &ack);
}

/* An NLMSG_ERROR with @echoed bytes of the request behind its header. */
static void error(uint16_t flags, int32_t code, uint32_t echoed)
{
	static const uint8_t bytes[4096];
	struct nlmsghdr request = { .nlmsg_len = NLMSG_HDRLEN + echoed };

	message_clear(&msg);
	message_begin(&msg, NLMSG_ERROR, flags, 1, 0);
	message_raw(&msg, &code, sizeof(code));
	message_raw(&msg, &request, sizeof(request));
	if (!(flags & NLM_F_CAPPED))
		message_raw(&msg, bytes, echoed);
}

TEST(ack_decode_tells_success_and_errors)
{
	static const int32_t codes[] = { 0, -1, -EBUSY, -EOPNOTSUPP, -4095 };

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		for (int capped = 0; capped < 2; capped++) {
			error(capped ? NLM_F_CAPPED : 0, codes[i], 32);
			CHECK_EQ(decode(), 0);
			CHECK_EQ(ack.error, codes[i]);
			CHECK_STR(ack.message, "");
		}
	}
}

TEST(ack_decode_refuses_what_is_no_errno)
{
	static const int32_t codes[] = { 1, 4095, 0x7fffffff, -4096, -0x7fffffff - 1 };

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		error(NLM_F_CAPPED, codes[i], 0);
		CHECK_EQ(decode(), -EBADMSG);
	}
}

TEST(ack_decode_finds_the_text_behind_the_request)
{
	static const uint32_t echoes[] = { 0, 1, 3, 4, 16, 33, 4096 };

	for (size_t i = 0; i < sizeof(echoes) / sizeof(echoes[0]); i++) {
		for (int capped = 0; capped < 2; capped++) {
			error((uint16_t)(NLM_F_ACK_TLVS | (capped ? NLM_F_CAPPED : 0)), -EINVAL,
			      echoes[i]);
			message_u32(&msg, ATTR_OFFS, 20);
			message_string(&msg, ATTR_MSG, "Invalid link state");
			CHECK_EQ(decode(), 0);
			CHECK_EQ(ack.error, -EINVAL);
			CHECK_STR(ack.message, "Invalid link state");
		}
	}
}

TEST(ack_decode_takes_a_request_at_the_end_without_its_padding)
{
	uint32_t len;

	for (uint32_t missing = 1; missing < 4; missing++) {
		error(NLM_F_ACK_TLVS, -EINVAL, 20 - missing);
		message_end(&msg);
		len = (uint32_t)msg.len - missing;
		memcpy(msg.buf, &len, sizeof(len));
		CHECK_EQ(pfs_ack_decode((void *)guard_copy(msg.buf, len), &ack), 0);
		CHECK_STR(ack.message, "");
	}
}

TEST(ack_decode_reads_text_of_a_success)
{
	error(NLM_F_ACK_TLVS | NLM_F_CAPPED, 0, 32);
	message_string(&msg, ATTR_MSG, "a warning");
	CHECK_EQ(decode(), 0);
	CHECK_STR(ack.message, "a warning");
}

TEST(ack_decode_shortens_long_text_and_terminates_it)
{
	char text[300];

	memset(text, 'x', sizeof(text));
	error(NLM_F_ACK_TLVS | NLM_F_CAPPED, -EINVAL, 0);
	message_put(&msg, ATTR_MSG, text, sizeof(text));
	CHECK_EQ(decode(), 0);
	CHECK_EQ(strlen(ack.message), sizeof(ack.message) - 1);
	error(NLM_F_ACK_TLVS | NLM_F_CAPPED, -EINVAL, 0);
	message_put(&msg, ATTR_MSG, text, 5);
	CHECK_EQ(decode(), 0);
	CHECK_STR(ack.message, "xxxxx");
}

TEST(ack_decode_survives_any_echoed_length)
{
	for (uint32_t lie = 0; lie < 200; lie++) {
		uint32_t lies[] = { lie, 0xffffffff - lie, 0x7fffffff + lie };

		for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
			int ret;

			error(NLM_F_ACK_TLVS, -EINVAL, 32);
			memcpy(msg.buf + 20, &lies[i], sizeof(lies[i]));
			message_string(&msg, ATTR_MSG, "text");
			ret = decode();
			if (lies[i] == 48)
				CHECK_STR(ack.message, "text");
			else
				CHECK(ret == 0 || ret == -EBADMSG);
			CHECK(strlen(ack.message) < sizeof(ack.message));
		}
	}
}

TEST(ack_decode_never_reads_past_a_message_cut_at_any_byte)
{
	size_t whole;

	error(NLM_F_ACK_TLVS, -EINVAL, 32);
	message_string(&msg, ATTR_MSG, "Invalid link state");
	message_end(&msg);
	whole = msg.len;
	for (uint32_t len = NLMSG_HDRLEN; len < whole; len++) {
		int ret;

		memcpy(msg.buf, &len, sizeof(len));
		ret = pfs_ack_decode((void *)guard_copy(msg.buf, len), &ack);
		CHECK_EQ(ret, len < NLMSG_HDRLEN + 20 + 32 ? -EBADMSG : 0);
	}
}

TEST(ack_decode_reads_how_a_dump_ended)
{
	static const int32_t codes[] = { 0, -EMSGSIZE };

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		message_clear(&msg);
		message_begin(&msg, NLMSG_DONE, NLM_F_ACK_TLVS, 1, 0);
		message_raw(&msg, &codes[i], sizeof(codes[i]));
		message_string(&msg, ATTR_MSG, "too much");
		CHECK_EQ(decode(), 0);
		CHECK_EQ(ack.error, codes[i]);
		CHECK_STR(ack.message, "too much");
	}
	message_clear(&msg);
	message_begin(&msg, NLMSG_DONE, 0, 1, 0);
	CHECK_EQ(decode(), -EBADMSG);
}
