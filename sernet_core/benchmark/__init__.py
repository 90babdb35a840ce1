"""Latency of models on engines, side by side: what is timed, how, and what is written of it.

`settings` says what is asked for, `gather` and `picture` build what is to be timed (`cases`), once `memory`
has seen that it fits; `timing` times it in turns, `run` goes through sizes and keeps results, `page` shows
them. `floor` is what a GPU cannot outdo.
"""
