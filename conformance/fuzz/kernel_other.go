//go:build !linux

package fuzz

import (
	"errors"

	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/verifier"
)

type referee struct{}

func newReferee([]*maps.Spec) (*referee, error) {
	return nil, errors.New("the live kernel can be asked on Linux only")
}

func (*referee) close() {}

func (*referee) ask(*candidate, *verifier.Verified, error, *KernelCounts, bool) string { return "" }
