/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Python sees of pfstatus.h, of timerfd_create(2), which Python has only
 * since 3.13, and of epoll(7), which gevent and eventlet take out of it. A declaration that drifts from the header fails to compile.
 */

struct pfs;

struct pfs_vf {
	uint32_t vf;
	uint32_t link_state;
};

struct pfs_link {
	uint32_t size;
	uint32_t known;
	uint32_t ifindex;
	uint32_t flags;
	uint32_t master_ifindex;
	uint32_t num_vf;
	uint32_t vf_count;
	uint16_t aggregator_id;
	uint8_t actor_oper_port_state;
	uint8_t partner_oper_port_state;
	uint8_t operstate;
	uint8_t slave_state;
	char name[16];
	char kind[16];
	char slave_kind[16];
	char parent[32];
	...;
};

struct pfs_bond {
	uint32_t size;
	uint32_t known;
	uint32_t ifindex;
	uint32_t miimon;
	uint32_t min_links;
	uint16_t ad_aggregator;
	uint16_t ad_num_ports;
	uint16_t ad_actor_key;
	uint16_t ad_partner_key;
	uint8_t ad_partner_mac[6];
	uint8_t mode;
	uint8_t ad_lacp_rate;
	char name[16];
	...;
};

struct pfs_options {
	uint32_t size;
	uint32_t flags;
	int32_t netns_fd;
	uint32_t timeout_ms;
	uint32_t event_buffer;
	...;
};

struct pfs_vf_result {
	int32_t error;
	uint32_t scope;
	char extack[120];
};

#define PFS_LINK_OPERSTATE ...
#define PFS_LINK_NUM_VF ...
#define PFS_LINK_VFS ...
#define PFS_LINK_SLAVE_STATE ...
#define PFS_LINK_AGGREGATOR_ID ...
#define PFS_LINK_ACTOR_STATE ...
#define PFS_LINK_PARTNER_STATE ...
#define PFS_BOND_MODE ...
#define PFS_BOND_MIIMON ...
#define PFS_BOND_MIN_LINKS ...
#define PFS_BOND_AD_LACP_RATE ...
#define PFS_BOND_AD_INFO ...
#define PFS_OPEN_NO_EVENTS ...
#define PFS_OPEN_NO_FILTER ...
#define PFS_OPEN_NETNS ...
#define PFS_WATCH_MAX ...
#define PFS_LACP_ABSENT ...
#define PFS_UP ...
#define PFS_DOWN ...
#define PFS_UNKNOWN ...
#define PFS_SCOPE_VF ...
#define PFS_SCOPE_PF ...
#define PFS_TAP_REQUEST ...
#define PFS_TAP_ANSWER ...
#define PFS_TAP_EVENT ...

int pfs_lacp_status(const struct pfs_link *link, const struct pfs_bond *bond);
int pfs_lacp_verdict(int lacp);
const char *pfs_lacp_name(int lacp);
const char *pfs_lacp_sentence(int lacp);

int pfs_open(struct pfs **pfs, const struct pfs_options *options);
int pfs_open_fds(struct pfs **pfs, int request_fd, int event_fd,
		 const struct pfs_options *options);
void pfs_close(struct pfs *pfs);
const char *pfs_extack(const struct pfs *pfs);

int pfs_link_get(struct pfs *pfs, uint32_t ifindex, const char *name,
		 struct pfs_link *link, struct pfs_vf *vfs, size_t capacity);
int pfs_pf_get(struct pfs *pfs, uint32_t ifindex, const char *name,
	       struct pfs_link *link, struct pfs_bond *bond, struct pfs_vf *vfs,
	       size_t capacity);
int pfs_bond_get(struct pfs *pfs, uint32_t ifindex, struct pfs_bond *bond);
int pfs_link_dump(struct pfs *pfs, struct pfs_link *links, size_t capacity);

int pfs_vf_set(struct pfs *pfs, uint32_t ifindex, const struct pfs_vf *vfs,
	       size_t n, size_t chunk, struct pfs_vf_result *results);
int pfs_vf_set_permitted(struct pfs *pfs);
size_t pfs_vf_choose(const struct pfs_vf *vfs, size_t n, uint32_t from, uint32_t to,
		     struct pfs_vf *chosen, size_t capacity);

int pfs_fd(const struct pfs *pfs);
int pfs_watch(struct pfs *pfs, const uint32_t *ifindexes, size_t n_index,
	      const char *const *names, size_t n_name);
int pfs_event_next(struct pfs *pfs, struct pfs_link *link);

void pfs_tap(struct pfs *pfs,
	     void (*tap)(void *arg, int direction, const void *buf, size_t len), void *arg);
extern "Python" void _tap(void *arg, int direction, const void *buf, size_t len);

int pfs_link_decode(const void *buf, size_t len, struct pfs_link *link,
		    struct pfs_bond *bond, struct pfs_vf *vfs, size_t capacity);
int pfs_vf_set_encode(void *buf, size_t capacity, uint32_t ifindex, uint32_t seq,
		      const struct pfs_vf *vfs, size_t n);

struct pfs_lacpdu_end {
	uint16_t system_priority;
	uint8_t system[6];
	uint16_t key;
	uint16_t port_priority;
	uint16_t port;
	uint8_t state;
	...;
};

struct pfs_lacpdu {
	uint8_t source[6];
	uint8_t version;
	struct pfs_lacpdu_end actor;
	struct pfs_lacpdu_end partner;
	uint16_t collector_max_delay;
	uint32_t mark;
	...;
};

struct pfs_port;

#define PFS_LACPDU_BYTES ...
#define PFS_PORT_PER_SECOND ...
#define PFS_PORT_RECEIVED ...
#define PFS_PORT_SENT ...
#define PFS_PORT_ASK ...
#define PFS_PORT_COPY ...
#define PFS_PORT_REPEAT ...

int pfs_lacpdu_decode(const void *buf, size_t len, struct pfs_lacpdu *pdu);
int pfs_lacpdu_encode(void *buf, size_t capacity, const struct pfs_lacpdu *pdu);

int pfs_port_open(struct pfs_port **port, uint32_t ifindex, int netns_fd);
int pfs_port_open_fd(struct pfs_port **port, int fd);
void pfs_port_close(struct pfs_port *port);
int pfs_port_fd(const struct pfs_port *port);
int pfs_port_next(struct pfs_port *port, struct pfs_lacpdu *pdu, int64_t *time_ns);
int pfs_port_send(struct pfs_port *port, int what, int64_t *time_ns);
int64_t pfs_port_free_ns(const struct pfs_port *port);
void pfs_port_forget(struct pfs_port *port);

struct timespec { long tv_sec; long tv_nsec; ...; };
struct itimerspec { struct timespec it_interval; struct timespec it_value; ...; };
#define CLOCK_MONOTONIC ...
#define TFD_CLOEXEC ...
#define TFD_NONBLOCK ...
int timerfd_create(int clockid, int flags);
int timerfd_settime(int fd, int flags, const struct itimerspec *new_value,
		    struct itimerspec *old_value);

struct epoll_event { uint32_t events; ...; };
#define EPOLLIN ...
#define EPOLL_CLOEXEC ...
#define EPOLL_CTL_ADD ...
#define EPOLL_CTL_DEL ...
int epoll_create1(int flags);
int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event);
