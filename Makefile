# Two commands for everybody: `make demo` and `make test`. Each does its own set-up.
.PHONY: demo test check weights clean

# As jobs/launch.py: else glibc gives large blocks back and faults them in again, a fifth of the CPU time of training.
MALLOC = MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=1073741824

# The tests start some hundred Python processes: compiled files halve the time in which each is there.
BYTECODE = env -u PYTHONDONTWRITEBYTECODE

# Three on two cores, which two leave idle for a quarter of the time: tests wait for processes, windows and disks.
# In their order: reordered, the longest files, of one test each, come last and one process waits.
ORDER = -n 3 --dist loadfile --no-loadscope-reorder

demo:            ## the main job on the bundled sample: a window where there is a display, else files
	@scripts/setup.sh demo
	@.venv/bin/vesselkd demo $(ARGS)

test:            ## the whole suite, window tests included (ARGS="tests/volume -k zarr" for a part)
	@scripts/setup.sh test
	@$(MALLOC) $(BYTECODE) .venv/bin/python -m pytest $(ORDER) $(ARGS)

check:           ## what pre-commit runs: style, types, layers, spelling, manifest
	@scripts/setup.sh test
	@PATH="$(CURDIR)/.venv/bin:$$PATH" .venv/bin/pre-commit run --all-files --show-diff-on-failure

clean:
	rm -rf .venv dist build vesselkd-demo
