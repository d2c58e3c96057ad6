package helpers

// Kernel timer frequency: CONFIG_HZ of most distributions' kernels.
const (
	hz       = 250
	jiffieNS = 1e9 / hz
)

// Now is the time in ns: that of the clock, or of the packet.
func (e *Env) Now() uint64 {
	if e.Clock != nil {
		return e.Clock()
	}
	return e.Space.Load64(e.Ctx + fieldTime)
}

func ktimeGetNs(e *Env, _, _, _, _, _ uint64) (uint64, error) { return e.Now(), nil }

func ktimeGetBootNs(e *Env, _, _, _, _, _ uint64) (uint64, error) { return e.Now(), nil }

// ktimeGetCoarseNs is the time of the last timer tick.
func ktimeGetCoarseNs(e *Env, _, _, _, _, _ uint64) (uint64, error) {
	t := e.Now()
	return t - t%jiffieNS, nil
}

func ktimeGetTaiNs(e *Env, _, _, _, _, _ uint64) (uint64, error) {
	if e.TAI != nil {
		return e.TAI(), nil
	}
	return e.Now(), nil
}

// jiffies64 counts timer ticks from time 0. (The kernel starts five minutes before the counter's low half wraps.)
func jiffies64(e *Env, _, _, _, _, _ uint64) (uint64, error) { return e.Now() / jiffieNS, nil }

func getPrandomU32(e *Env, _, _, _, _, _ uint64) (uint64, error) {
	if e.Rand == nil {
		return 0, nil
	}
	return uint64(e.Rand()), nil
}

func getSmpProcessorId(e *Env, _, _, _, _, _ uint64) (uint64, error) { return uint64(e.CPU), nil }

// getNumaNodeId knows one node.
func getNumaNodeId(*Env, uint64, uint64, uint64, uint64, uint64) (uint64, error) { return 0, nil }
