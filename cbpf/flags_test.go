package cbpf

import "flag"

var (
	update = flag.Bool("update", false, "rewrite golden files; those of libpcap's answers need tcpdump")
	full   = flag.Bool("full", false, "the referee asks tcpdump everything again, instead of a sample")
	seed   = flag.Uint64("seed", 0, "first seed of random filters")
)
