package prog

// RunConfig is what an object says of an XDP program's place among others on an interface: libxdp's metadata of the section .xdp_run_config.
type RunConfig struct {
	// Priority orders programs, lowest first.
	Priority uint32
	// Continue has a bit for each verdict at which the next program runs; bit 31 is always set.
	Continue uint32
}

// What a program has whose object says nothing (libxdp: XDP_DEFAULT_RUN_PRIO, XDP_DEFAULT_CHAIN_CALL_ACTIONS).
const (
	DefaultRunPriority = 50
	DefaultRunContinue = 1 << 2 // XDP_PASS
)
