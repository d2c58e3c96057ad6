// Command plainread reads a file with read(2), 1 MiB at a time, in as many threads as the second argument says, and prints the number of
// bytes: what any replay of it takes at least. It is a command of its own so that nothing else is in it.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
)

func main() {
	n, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "plainread:", err)
		os.Exit(1)
	}
	fmt.Println(n)
}

func run(args []string) (int64, error) {
	if len(args) != 2 {
		return 0, errors.New("usage: plainread FILE THREADS")
	}
	threads, err := strconv.Atoi(args[1])
	if err != nil || threads < 1 {
		return 0, fmt.Errorf("%q is no number of threads", args[1])
	}
	f, err := os.Open(args[0])
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if threads == 1 {
		return read(f)
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	part := (info.Size() + int64(threads) - 1) / int64(threads)
	bytes, errs := make([]int64, threads), make([]error, threads)
	var wg sync.WaitGroup
	for i := range threads {
		wg.Go(func() { bytes[i], errs[i] = read(io.NewSectionReader(f, int64(i)*part, part)) })
	}
	wg.Wait()
	sum := int64(0)
	for _, b := range bytes {
		sum += b
	}
	return sum, errors.Join(errs...)
}

func read(r io.Reader) (sum int64, err error) {
	buffer := make([]byte, 1<<20)
	for {
		n, err := r.Read(buffer)
		sum += int64(n)
		switch {
		case err == io.EOF:
			return sum, nil
		case err != nil:
			return sum, err
		}
	}
}
