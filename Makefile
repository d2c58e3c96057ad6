.PHONY: test check bench examples

test: ## what a change must pass at least
	go test ./...

check: ## what CI runs
	bash .ci/run

bench: ## figures of this machine, kept under bench/results
	bash bench/run.sh

examples: ## rebuild the example objects; needs clang-19
	$(MAKE) -C examples
