package replay

import "time"

// pacer lets packets come at a speed.
type pacer struct {
	factor float64 // of the capture's own speed; 0 when rate says it
	rate   float64 // packets a second
	stop   <-chan struct{}

	start time.Time // of the first packet here
	first int64     // and in the capture, ns
	count uint64
}

// newPacer returns nil when packets come as fast as they are read.
func newPacer(o *Options) *pacer {
	if o.Pace == 0 && o.Rate == 0 {
		return nil
	}
	return &pacer{factor: o.Pace, rate: o.Rate, stop: o.Stop}
}

// wait waits until a packet of that time is due. It reports false when the replay is stopped meanwhile.
func (p *pacer) wait(ts int64) bool {
	if p.count == 0 {
		p.start, p.first = time.Now(), ts
	}
	due := float64(p.count) * 1e9 / max(p.rate, 1e-9)
	if p.factor > 0 {
		due = float64(ts-p.first) / p.factor
	}
	p.count++
	left := time.Duration(min(due, float64(maxWait))) - time.Since(p.start)
	if left < shortest {
		return true
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-p.stop:
		return false
	case <-timer.C:
		return true
	}
}

const (
	shortest = 100 * time.Microsecond // below that, sleeping takes longer than what is left
	maxWait  = 1000 * time.Hour       // a capture's clock may lie
)
