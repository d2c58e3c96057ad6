package helpers

// Kernel timer frequency: CONFIG_HZ of most distributions' kernels.
const (
	hz       = 250
	jiffieNS = 1e9 / hz
)

func (e *Env) now() uint64 {
	if e.Clock != nil {
		return e.Clock()
	}
	return e.Space.Load64(e.Ctx + fieldTime)
}

func ktimeGetNs(e *Env, _, _, _, _, _ uint64) (uint64, error) { return e.now(), nil }

func ktimeGetBootNs(e *Env, _, _, _, _, _ uint64) (uint64, error) { return e.now(), nil }

// ktimeGetCoarseNs is the time of the last timer tick.
func ktimeGetCoarseNs(e *Env, _, _, _, _, _ uint64) (uint64, error) {
	t := e.now()
	return t - t%jiffieNS, nil
}

func ktimeGetTaiNs(e *Env, _, _, _, _, _ uint64) (uint64, error) {
	if e.TAI != nil {
		return e.TAI(), nil
	}
	return e.now(), nil
}

// jiffies64 counts timer ticks from time 0. (The kernel starts five minutes before the counter's low half wraps.)
func jiffies64(e *Env, _, _, _, _, _ uint64) (uint64, error) { return e.now() / jiffieNS, nil }

func getPrandomU32(e *Env, _, _, _, _, _ uint64) (uint64, error) {
	if e.Rand == nil {
		return 0, nil
	}
	return uint64(e.Rand()), nil
}

func getSmpProcessorId(e *Env, _, _, _, _, _ uint64) (uint64, error) { return uint64(e.CPU), nil }

// getNumaNodeId knows one node.
func getNumaNodeId(*Env, uint64, uint64, uint64, uint64, uint64) (uint64, error) { return 0, nil }
