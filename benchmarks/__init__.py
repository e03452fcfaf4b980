# SPDX-License-Identifier: Apache-2.0
"""Side-by-side measurements of Naiad and what it is compared with: `make bench`, or `python -m benchmarks --help`.

Contestants run in turn within one run, several rounds; medians and ratios are what counts, on any machine. The
processor time a server spends on a request, as the operating system accounts it, stands beside every rate: it is the
steadier figure where other work shares the machine.

`measurements` lists what is measured, on the servers of `contestants` and `peers`, with the load of `perf_analyzer` or
`wrk`. A new measurement is a function and a line of `measurements.ALL`.
"""
