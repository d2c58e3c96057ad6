package fuzz

import "github.com/skepvm/skep/verifier"

// KernelCounts is what the live kernel said.
type KernelCounts struct {
	Asked   uint64 `json:"asked"`
	Both    uint64 `json:"both_accept"`
	Neither uint64 `json:"neither"`
	OnlyIt  uint64 `json:"only_kernel"` // refused here: no error, but a pity
	// Codes says with which code they were refused.
	Codes    map[verifier.Code]uint64 `json:"only_kernel_by_code,omitempty"`
	GaveUp   uint64                   `json:"kernel_gave_up"`
	Compared uint64                   `json:"runs_compared"`
}

// refused notes that the kernel accepts n programs that we refuse with that code.
func (c *KernelCounts) refused(code verifier.Code, n uint64) {
	if c.Codes == nil {
		c.Codes = map[verifier.Code]uint64{}
	}
	c.Codes[code] += n
	c.OnlyIt += n
}

func (c *KernelCounts) add(o KernelCounts) {
	c.Asked += o.Asked
	c.Both += o.Both
	c.Neither += o.Neither
	for code, n := range o.Codes {
		c.refused(code, n)
	}
	c.GaveUp += o.GaveUp
	c.Compared += o.Compared
}
