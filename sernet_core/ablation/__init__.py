"""What each part of the network brings: variants trained under one budget, and their differences.

`rows` names the variants, `run` trains and keeps what is done, `differences` pairs runs by seed, `cost`
counts and times, `page` shows it.
"""
