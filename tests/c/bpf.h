/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a classic BPF program as the kernel would: Documentation/networking/filter.rst. */
#ifndef BPF_H
#define BPF_H

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

/* What the program returns for a packet: 0 drops it. Aborts where the kernel's checker would refuse. */
uint32_t bpf_run(const struct sock_filter *insns, size_t n, const uint8_t *packet, size_t len);

#endif
