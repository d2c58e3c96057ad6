package fuzz

// KernelCounts is what the live kernel said.
type KernelCounts struct {
	Asked    uint64 `json:"asked"`
	Both     uint64 `json:"both_accept"`
	Neither  uint64 `json:"neither"`
	OnlyIt   uint64 `json:"only_kernel"` // refused here: no error, but a pity
	GaveUp   uint64 `json:"kernel_gave_up"`
	Compared uint64 `json:"runs_compared"`
}

func (c *KernelCounts) add(o KernelCounts) {
	c.Asked += o.Asked
	c.Both += o.Both
	c.Neither += o.Neither
	c.OnlyIt += o.OnlyIt
	c.GaveUp += o.GaveUp
	c.Compared += o.Compared
}
