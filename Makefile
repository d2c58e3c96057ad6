.PHONY: test check bench examples

test: ## what a change must pass at least
	go test ./...

check: ## what CI runs
	bash .ci/run

bench: ## figures of this machine, kept under bench/results
	bash bench/run.sh

examples: ## rebuild the objects of examples and workloads; needs clang-19
	sh examples/build.sh
	sh examples/rejected/build.sh
	sh bench/workloads/build.sh
