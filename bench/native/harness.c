//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Times a workload that was compiled for the host as skep times its engines in batches: frames of one stride, each packet in a
 * buffer of its own, fresh packets for each round, one call through a pointer for each frame.
 *
 *	harness PACKETS ROUNDS	prints "min median max" in ns a packet, then how often each return value 0 to 4 came
 *
 * PACKETS is: u32 number of packets, u32 packets of a round, then for each packet u32 length and the bytes.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { HEAD = 256, TAIL = 256, LINE = 64, VERDICTS = 5 };

struct xdp_md {
	uint32_t data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};

/* As skep's frames: a header of 64 bytes, then the context. */
struct frame {
	char head[56];
	uint64_t ret;
	struct xdp_md ctx;
	char tail[40];
};

_Static_assert(sizeof(struct frame) == 128, "the stride of skep's frames");

int workload(struct xdp_md *ctx);

static struct {
	uint32_t len;
	const char *bytes; /* as they were */
	char *data;	   /* where the program sees them */
} *packets;

static uint32_t total, group;
static struct frame *frames;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* Memory below 4 GiB, where little else is. */
static void *low(size_t size)
{
	static uintptr_t next = 0x20000000;
	void *want = (void *)next;

	next += (size + 0xffff) & ~(size_t)0xffff;
	if (next > UINT32_MAX || mmap(want, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != want)
		die("no memory below 4 GiB");
	return want;
}

static uint32_t number(FILE *f)
{
	uint32_t v;

	if (fread(&v, sizeof(v), 1, f) != 1)
		die("packets");
	return v;
}

static void read_packets(const char *name)
{
	FILE *f = fopen(name, "rb");
	size_t size = 0;

	if (!f)
		die(name);
	total = number(f);
	group = number(f);
	packets = calloc(total, sizeof(*packets));
	frames = low(total * sizeof(*frames));
	for (uint32_t i = 0; i < total; i++) {
		char *bytes = malloc(packets[i].len = number(f));

		if (!bytes || fread(bytes, packets[i].len, 1, f) != 1)
			die("packets");
		packets[i].bytes = bytes;
		packets[i].data = (char *)size + HEAD;
		size += (packets[i].len + HEAD + TAIL + LINE - 1) / LINE * LINE;
	}
	fclose(f);
	char *area = low(size);

	for (uint32_t i = 0; i < total; i++)
		packets[i].data = area + (uintptr_t)packets[i].data;
}

static void reset(uint32_t first)
{
	for (uint32_t i = first; i < first + group; i++) {
		uint32_t data = (uint32_t)(uintptr_t)packets[i].data;

		memcpy(packets[i].data, packets[i].bytes, packets[i].len);
		frames[i].ret = 0;
		frames[i].ctx = (struct xdp_md){data, data + packets[i].len, data, 1, 0, 0};
	}
}

__attribute__((noinline)) static void run_batch(int (*program)(struct xdp_md *), struct frame *first, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		first[i].ret = (uint32_t)program(&first[i].ctx);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	uint64_t verdicts[VERDICTS] = {0};
	int (*volatile program)(struct xdp_md *) = workload; /* not to be inlined */

	if (argc != 3 || atoi(argv[2]) < 1) {
		fprintf(stderr, "usage: harness PACKETS ROUNDS\n");
		return 2;
	}
	read_packets(argv[1]);
	int rounds = atoi(argv[2]);
	double *times = calloc(rounds, sizeof(*times));

	for (int r = 0; r < rounds; r++) {
		uint32_t first = (uint32_t)r * group % total;

		reset(first);
		double start = now();

		run_batch(program, frames + first, group);
		times[r] = (now() - start) / group;
		for (uint32_t i = first; i < first + group; i++)
			verdicts[frames[i].ret % VERDICTS]++;
	}
	qsort(times, rounds, sizeof(*times), compare);
	printf("%.3f %.3f %.3f", times[0], times[rounds / 2], times[rounds - 1]);
	for (int v = 0; v < VERDICTS; v++)
		printf(" %llu", (unsigned long long)verdicts[v]);
	printf("\n");
	return 0;
}
