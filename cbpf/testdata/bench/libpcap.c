// Time of libpcap's bpf_filter a packet: libpcap PROGRAM PACKETS RUNS
//
// PROGRAM is tcpdump -ddd text; PACKETS holds records of u32 length on the wire, u32 captured length, bytes; RUNS counts
// passes over them. Prints the nanoseconds of processor time a packet of the fastest of ten equal parts, and the sum of the
// answers. With 0 RUNS it prints the answer to each packet instead, with -1 what bpf_validate says of the program.
// clang -O2 -o libpcap libpcap.c -ldl
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct insn {
	uint16_t code;
	uint8_t jt, jf;
	uint32_t k;
};
struct packet {
	uint32_t wire, caplen;
	unsigned char *data;
};

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

int main(int argc, char **argv) {
	if (argc != 4)
		return 2;
	void *lib = dlopen("libpcap.so.0.8", RTLD_NOW);
	if (!lib)
		return 3;
	unsigned (*filter)(const struct insn *, const unsigned char *, unsigned, unsigned) =
		(unsigned (*)(const struct insn *, const unsigned char *, unsigned, unsigned))dlsym(lib, "bpf_filter");
	FILE *f = fopen(argv[1], "r");
	unsigned n, code, jt, jf, k;
	if (!filter || !f || fscanf(f, "%u", &n) != 1)
		return 3;
	struct insn *prog = calloc(n, sizeof *prog);
	for (unsigned i = 0; i < n; i++) {
		if (fscanf(f, "%u %u %u %u", &code, &jt, &jf, &k) != 4)
			return 3;
		prog[i] = (struct insn){code, jt, jf, k};
	}
	if (atoi(argv[3]) < 0) {
		int (*validate)(const struct insn *, int) = (int (*)(const struct insn *, int))dlsym(lib, "bpf_validate");
		if (!validate)
			return 3;
		printf("%d\n", validate(prog, n));
		return 0;
	}
	struct packet *p = NULL;
	unsigned count = 0, head[2];
	f = fopen(argv[2], "rb");
	while (f && fread(head, 4, 2, f) == 2) {
		p = realloc(p, (count + 1) * sizeof *p);
		p[count] = (struct packet){head[0], head[1], malloc(head[1] + 1)};
		if (fread(p[count].data, 1, head[1], f) != head[1])
			return 3;
		count++;
	}
	unsigned runs = atoi(argv[3]), sum = 0;
	double best = 1e300;
	if (runs == 0) {
		for (unsigned i = 0; i < count; i++)
			printf("%u\n", filter(prog, p[i].data, p[i].wire, p[i].caplen));
		return 0;
	}
	for (int part = 0; part < 10; part++) {
		double start = now();
		for (unsigned r = 0; r < runs; r++)
			for (unsigned i = 0; i < count; i++)
				sum += filter(prog, p[i].data, p[i].wire, p[i].caplen);
		double ns = (now() - start) / ((double)runs * count);
		if (ns < best)
			best = ns;
	}
	printf("%.3f %u\n", best, sum);
	return 0;
}
