"""Latency of models on engines, side by side: what is timed, how, and what is written of it.

`cases` builds what is to be timed, `timing` times it in turns, `run` goes through sizes and keeps results,
`page` shows them.
"""
